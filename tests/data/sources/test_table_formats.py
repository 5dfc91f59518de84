"""Files of several formats with the same rows give the same dataset; times, repeated rows and interactions."""

import gzip
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from support.repeated_text import ROWS as ROWS_OF_LARGE
from support.repeated_text import large_column, write_large

from recsys.data.dataset import Dataset
from recsys.data.sources.side_table import read_side_table
from recsys.data.sources.table import Table
from recsys.data.splits import LeaveLastSplit
from recsys.errors import DataError

ROWS = pd.DataFrame(
    {
        "user": ["eve", "bob", "eve", "zoë"],
        "item": [10, 20, 30, 10],
        "rating": [4.0, 3.5, 1.0, 5.0],
        "time": [1_700_000_000, 1_700_000_100, 1_700_000_200, 1_700_000_300],
        "note": ["a, b", "", "c", "d"],
    }
)


def write(folder: Path, form: str, rows: pd.DataFrame = ROWS) -> Path:
    """Write rows in a format, under a name that does not show it."""
    path = folder / "ratings.data"
    separators = {"comma": ",", "tab": "\t", "semicolon": ";", "bar": "|", "gzip": ","}
    if form == "parquet":
        rows.to_parquet(path)
    else:
        text = rows.to_csv(index=False, sep=separators[form]).encode()
        path.write_bytes(gzip.compress(text) if form == "gzip" else text)
    return path


def rows_of(dataset: Dataset) -> list[tuple]:
    users, items = dataset.user_ids.to_ids(dataset.users), dataset.item_ids.to_ids(dataset.items)
    return list(
        zip(
            users.tolist(), items.tolist(), dataset.ratings.tolist(), dataset.timestamps.tolist(), strict=True
        )
    )


@pytest.mark.parametrize("form", ["comma", "tab", "semicolon", "bar", "gzip", "parquet"])
def test_the_format_is_recognised_by_content(form: str, tmp_path: Path) -> None:
    dataset = Table(str(write(tmp_path, form)), time="time").load()
    assert rows_of(dataset) == list(ROWS.drop(columns="note").itertuples(index=False, name=None))
    assert dataset.has_ratings
    reference = tmp_path / "reference"
    reference.mkdir()
    assert dataset.sha256 == Table(str(write(reference, "comma")), time="time").load().sha256


def test_a_column_that_is_missing_is_reported_with_those_that_exist(tmp_path: Path) -> None:
    for form, place in (("parquet", "ratings.data: no column 'stars'"), ("tab", "line 1: no column 'stars'")):
        with pytest.raises(
            DataError, match=rf"{place}; the file has 'user', 'item', 'rating', 'time', 'note'"
        ):
            Table(str(write(tmp_path, form)), rating="stars").load()


@pytest.mark.parametrize(
    ("times", "seconds"),
    [
        ([1_700_000_000, 0], [1_700_000_000, 0]),
        ([1_700_000_000_500, 1_000_000_000_000], [1_700_000_000, 1_000_000_000]),  # milliseconds
        ([1_700_000_000_500_000, 1_000_000_000_000_000], [1_700_000_000, 1_000_000_000]),
        ([1_700_000_000_000_000_000, 10**18], [1_700_000_000, 10**9]),
        (["2023-11-14T22:13:20Z", "2001-09-09 01:46:40"], [1_700_000_000, 10**9]),
        (["2023-11-15T00:13:20.75+02:00", "2001-09-09T01:46:40Z"], [1_700_000_000, 10**9]),
        (["2023-11-14", "1970-01-01"], [1_699_920_000, 0]),
    ],
)
@pytest.mark.parametrize("form", ["comma", "parquet", "row by row"])
def test_times_have_any_unit_or_are_dates(times: list, seconds: list[int], form: str, tmp_path: Path) -> None:
    rows = pd.DataFrame({"user": [1, 1], "item": [1, 2], "rating": [3, 4], "time": times})
    if form == "row by row":  # a bad row is read by the strict reader, and so are all others
        rows.loc[2] = [1, 3, 9, times[0]]
    path = write(tmp_path, "parquet" if form == "parquet" else "comma", rows)
    dataset = Table(str(path), time="time", on_bad_rows="drop").load()
    assert dataset.timestamps.tolist() == seconds


@pytest.mark.parametrize("form", ["comma", "parquet", "timestamp", "row by row"])
@pytest.mark.parametrize("unit", ["ms", "us", "ns", "date"])
def test_the_last_row_within_a_second_is_the_last(form: str, unit: str, tmp_path: Path) -> None:
    """Times are whole seconds afterwards, so the rows are put in the order of their exact times."""
    moments = pd.to_datetime(
        [f"2023-11-14T22:13:{time}Z" for time in ("20.9", "20.1", "20.5", "19.9", "20.7")]
    )
    times = {"ms": moments.as_unit("ms"), "us": moments.as_unit("us"), "ns": moments.as_unit("ns")}
    written = moments.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if unit == "date" else times[unit].astype(np.int64)
    if form == "timestamp":
        written = times.get(unit, moments)
    rows = pd.DataFrame({"user": 1, "item": [1, 1, 2, 3, 4], "rating": [5, 1, 2, 3, 4], "time": written})
    if form == "row by row":  # a bad row is read by the strict reader, and so are all others
        rows.loc[5] = [1, 5, 9, written[0]]
    path = str(write(tmp_path, "parquet" if form in ("parquet", "timestamp") else "comma", rows))
    dataset = Table(path, time="time", duplicates="last", on_bad_rows="drop").load()
    assert rows_of(dataset) == [
        (1, 2, 2.0, 1_700_000_000),
        (1, 4, 4.0, 1_700_000_000),
        (1, 3, 3.0, 1_699_999_999),
        (1, 1, 5.0, 1_700_000_000),
    ]
    split = LeaveLastSplit()(dataset)
    assert dataset.item_ids.to_ids(dataset.items[split.test]).tolist() == [1]


def test_the_last_row_within_a_second_can_be_in_any_file(tmp_path: Path) -> None:
    for name, rating, time in (("a.csv", 5, 1_700_000_000_900), ("b.csv", 1, 1_700_000_000_100)):
        (tmp_path / name).write_text(f"user,item,rating,time\n1,1,{rating},{time}\n")
    for names in (["a.csv", "b.csv"], ["b.csv", "a.csv"]):
        dataset = Table([str(tmp_path / name) for name in names], time="time", duplicates="last").load()
        assert rows_of(dataset) == [(1, 1, 5.0, 1_700_000_000)]


@pytest.mark.parametrize("form", ["comma", "parquet", "timestamp"])
def test_dates_of_a_far_future_are_dates(form: str, tmp_path: Path) -> None:
    """9999-12-31 often stands for "no end"; as a number of seconds, it would be one of milliseconds."""
    times = ["2020-01-01", "9999-12-31"]
    rows = pd.DataFrame({"user": [1, 2], "item": [1, 2], "rating": [5, 3], "time": times})
    if form == "timestamp":
        rows["time"] = pd.to_datetime(rows["time"], format="ISO8601").astype("datetime64[us]")
    path = write(tmp_path, "comma" if form == "comma" else "parquet", rows)
    assert Table(str(path), time="time").load().timestamps.tolist() == [1_577_836_800, 253_402_214_400]


def test_parquet_files_have_timestamps_and_dates(tmp_path: Path) -> None:
    when = datetime(2023, 11, 14, 22, 13, 20, 999, tzinfo=UTC)
    for kind in (pa.timestamp("us"), pa.timestamp("ms", "UTC"), pa.date32()):
        value = when.date() if kind == pa.date32() else when
        table = pa.table({"user": ["a"], "item": ["b"], "rating": [3], "time": pa.array([value], kind)})
        parquet.write_table(table, tmp_path / "r.parquet")
        (time,) = Table(str(tmp_path / "r.parquet"), time="time").load().timestamps
        assert time == (1_699_920_000 if kind == pa.date32() else 1_700_000_000)


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([1_700_000_000, 1_700_000_000_000], "the largest is in milliseconds, the smallest is not"),
        (["2023-11-14", "5"], r"time '5' is a number, but the times before it are dates"),
        (["5", "2023-11-14"], r"line 3: time '2023-11-14' is a date, but the times before it are numbers"),
        (["now", "2023-11-14"], "line 2: time 'now' is neither a whole number nor a date such as"),
        (["1969-12-31", "2023-11-14"], "line 2: time '1969-12-31' is before 1970"),
    ],
)
def test_times_of_different_kinds_are_refused(times: list, message: str, tmp_path: Path) -> None:
    rows = pd.DataFrame({"user": [1, 1], "item": [1, 2], "rating": [3, 4], "time": times})
    with pytest.raises(DataError, match=message):
        Table(str(write(tmp_path, "comma", rows)), time="time").load()


BAD = {
    "user missing": ({"user": None}, "row 2: user is missing"),
    "item empty": ({"item": " "}, "row 2: item ' ' is empty, longer than 1000 characters, or has a NUL"),
    "NUL": ({"item": "a\0"}, r"row 2: item 'a\\x00' is empty"),
    "off the scale": ({"rating": 7.0}, r"row 2: rating '7.0' is off the scale 1 to 5 \(data.scale\)"),
    "NaN": ({"rating": float("nan")}, "row 2: rating (is missing|'nan' is off)"),
    "before 1970": ({"time": -5}, "row 2: time '-5' is not a time since 1970"),
    "repeated": (
        {"user": "eve", "item": "10"},
        "row 2: has the user and item of an earlier row; data.duplicates=last keeps",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_rows_of_parquet_files_are_named_or_dropped(kind: str, tmp_path: Path) -> None:
    changes, message = BAD[kind]
    rows = ROWS.astype({"item": str})
    for column, value in changes.items():
        rows.loc[1, column] = value
    path = write(tmp_path, "parquet", rows)
    with pytest.raises(DataError, match=message):
        Table(str(path), time="time").load()
    dataset = Table(str(path), time="time", on_bad_rows="drop").load()
    assert (len(dataset), dataset.dropped) == (3, 1)
    expected = ROWS.drop(index=1).drop(columns="note")
    assert rows_of(dataset) == list(expected.itertuples(index=False, name=None))


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("user", pa.array([True]), "column 'user' has the type bool; ids must be whole numbers or text"),
        ("rating", pa.array(["4"]), "column 'rating' has the type string; ratings must be numbers"),
        ("time", pa.array([True]), "column 'time' has the type bool; times must be whole numbers"),
        ("time", pa.array(["soon"]), "row 1: time 'soon' is not a time since 1970"),
    ],
)
def test_types_that_cannot_be_used_are_refused(
    column: str, values: pa.Array, message: str, tmp_path: Path
) -> None:
    table = {"user": pa.array([1]), "item": pa.array([2]), "rating": pa.array([3]), "time": pa.array([4])}
    parquet.write_table(pa.table(table | {column: values}), tmp_path / "r.parquet")
    with pytest.raises(DataError, match=message):
        Table(str(tmp_path / "r.parquet"), time="time").load()


def test_ids_of_parquet_files_may_be_categories_or_floats_with_missing_values(tmp_path: Path) -> None:
    rows = pd.DataFrame(
        {"user": [7.0, None, 5.0], "item": pd.Categorical(["b", "a", "a"]), "rating": [1, 2, 3]}
    )
    dataset = Table(str(write(tmp_path, "parquet", rows)), on_bad_rows="drop").load()
    assert dataset.user_ids.ids.tolist() == [5, 7]
    assert dataset.item_ids.ids.tolist() == ["a", "b"]


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-20], lambda data: data[:40], lambda data: data[:8] + data]
)
@pytest.mark.parametrize("form", ["gzip", "parquet"])
def test_damaged_files_are_reported(form: str, damage, tmp_path: Path) -> None:
    path = write(tmp_path, form)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r"ratings\.data"):
        Table(str(path)).load()


def test_a_gzip_file_that_unpacks_to_far_more_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.csv.gz"
    path.write_bytes(gzip.compress(b"user,item,rating\n" + b"1,1,1\n" * 2**20))
    with pytest.raises(DataError, match="more than 100 times as large as the file"):
        Table(str(path)).load()


@pytest.mark.parametrize("start", [b"PK\x03\x04", b"BZh9", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"])
def test_other_compressed_files_are_named(start: bytes, tmp_path: Path) -> None:
    (tmp_path / "r").write_bytes(start + b"rest")
    with pytest.raises(DataError, match=r"is compressed .*; unpack it, or compress it with gzip"):
        Table(str(tmp_path / "r")).load()


CLICKS = pd.DataFrame(
    {
        "user": [1, 2, 1, 1, 2],
        "item": [5, 5, 5, 6, 5],
        "time": [30, 20, 10, 40, 20],
        "rating": [1, 2, 3, 4, 5],
    }
)


@pytest.mark.parametrize("form", ["comma", "parquet"])
def test_repeated_interactions_are_counted_or_the_last_is_kept(form: str, tmp_path: Path) -> None:
    path = str(write(tmp_path, form, CLICKS))
    with pytest.raises(DataError, match=r"data\.duplicates=count counts such rows"):
        Table(path, rating=None).load()
    counted = Table(path, rating=None, time="time", duplicates="count").load()
    assert not counted.has_ratings
    assert rows_of(counted) == [(1, 5, 2, 30), (1, 6, 1, 40), (2, 5, 2, 20)]
    assert counted.scale == (0, 1)
    last = Table(path, time="time", duplicates="last").load()
    assert rows_of(last) == [(1, 5, 1, 30), (1, 6, 4, 40), (2, 5, 5, 20)]  # of equal times, the later row
    assert last.has_ratings


def test_ratings_cannot_be_counted(tmp_path: Path) -> None:
    (message,) = Table(str(write(tmp_path, "comma")), duplicates="count").check()
    assert message.startswith(
        "data.duplicates=count: rows with ratings cannot be counted; use data.duplicates=last"
    )


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 5)), min_size=1, max_size=20))
def test_the_counts_of_all_pairs_add_up_to_the_rows(events: list[tuple[int, int, int]]) -> None:
    from recsys.data.ratings_file.duplicates import combine

    table = pd.DataFrame(events, columns=["user", "item", "timestamp"]).assign(rating=np.float32(1))
    counted = combine(table, "count")
    assert counted["rating"].sum() == len(events)
    assert len(counted) == len({event[:2] for event in events})
    for row in counted.itertuples():
        assert row.timestamp == max(
            time for user, item, time in events if (user, item) == (row.user, row.item)
        )


@pytest.mark.parametrize("form", ["comma", "parquet"])
def test_a_file_without_valid_rows_is_reported(form: str, tmp_path: Path) -> None:
    for rows, drop in ((ROWS.iloc[:0], "error"), (ROWS.assign(rating=9.0), "drop")):
        path = write(tmp_path, form, rows)
        for _ in range(2):  # nothing broken is left in the cache
            with pytest.raises(DataError, match=r"holds no ratings"):
                Table(str(path), on_bad_rows=drop).load()  # type: ignore[arg-type]


def test_parquet_text_that_is_not_utf8_is_reported(tmp_path: Path) -> None:
    text = pa.Array.from_buffers(pa.string(), 1, [None, *pa.array([b"caf\xe9"]).buffers()[1:]])
    parquet.write_table(pa.table({"user": text, "item": [1], "rating": [3]}), tmp_path / "r.parquet")
    with pytest.raises(DataError, match=r"cannot be read as Parquet .*UTF8"):
        Table(str(tmp_path / "r.parquet")).load()


def test_parquet_column_names_that_are_not_utf8_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "r.parquet"
    parquet.write_table(pa.table({"user": [1], "item": [1], "zzzz": [3]}), path, store_schema=False)
    path.write_bytes(path.read_bytes().replace(b"zzzz", b"zz\xd4z"))
    for read in (Table(str(path)).load, lambda: read_side_table(path, "item", "data.items")):
        with pytest.raises(DataError, match=r"the names of the columns are not UTF-8 text"):
            read()


def test_small_parquet_files_with_many_values_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.parquet"
    many = pa.array(np.zeros(3_000_000, np.int8))
    lists = pa.ListArray.from_arrays(pa.array([0, len(many)], pa.int32()), many)
    for table in (
        pa.table({"user": [1], "item": [1], "rating": [1], "vector": lists}),
        pa.table({"user": many, "item": many, "rating": many}),
    ):
        parquet.write_table(table, path, compression="zstd")
        with pytest.raises(DataError, match=r"claims to have [39],000,00[03] values in"):
            Table(str(path)).load()


@pytest.mark.parametrize("column", ["user", "item", "comment"])
@pytest.mark.parametrize("texts", [["x" * 20_000_000], [f"{row:03d}" + "x" * 200_000 for row in range(100)]])
def test_long_texts_in_a_small_parquet_file_are_refused_unread(
    column: str, texts: list[str], tmp_path: Path
) -> None:
    numbers = list(range(len(texts)))
    path = tmp_path / "r.parquet"
    parquet.write_table(pa.table({"user": numbers, "item": numbers, column: texts}), path, compression="zstd")
    for read in (
        lambda: Table(str(path), rating=None, on_bad_rows="drop").load(),
        lambda: read_side_table(path, "item", "data.items"),
    ):
        with pytest.raises(DataError, match=r"bytes unpack to 20,\d{3},\d{3}, more than 100 times as many"):
            read()


@pytest.mark.parametrize("role", ["user", "item", "rating", "time"])
@pytest.mark.parametrize("kind", ["text", "list", "binary"])
def test_a_column_of_another_type_is_refused_before_it_is_read(kind: str, role: str, tmp_path: Path) -> None:
    columns = {name: pa.array(range(ROWS_OF_LARGE)) for name in ("user", "item", "rating", "time")}
    path = tmp_path / "r.parquet"
    write_large({**columns, role: large_column(kind)}, path, store_schema=False)
    pa.default_memory_pool().release_unused()
    before = pa.total_allocated_bytes()
    with pytest.raises(DataError, match=f"column '{role}' has the type|row 1: {role} 'xxx"):
        Table(str(path), time="time", scale=(0, ROWS_OF_LARGE)).load()
    assert pa.total_allocated_bytes() - before < 10**8


def test_long_ids_in_each_row_take_little_memory(tmp_path: Path) -> None:
    n = 50_000
    users = pa.array([f"{row % 200:03d}" + "x" * 990 for row in range(n)]).dictionary_encode()
    columns = {
        "user": users,
        "item": pa.array(np.arange(n) // 200),
        "rating": pa.array(np.full(n, 3, np.int8)),
    }
    parquet.write_table(pa.table(columns), tmp_path / "r.parquet")
    tracemalloc.start()
    try:
        assert len(Table(str(tmp_path / "r.parquet")).load()) == n
        assert tracemalloc.get_traced_memory()[1] < 30_000_000
    finally:
        tracemalloc.stop()


def test_the_largest_integers_are_ids_in_any_format(tmp_path: Path) -> None:
    ids = [2**63 - 1, -(2**63), 2**63 - 511, 5]
    rows = pd.DataFrame({"user": ids, "item": [1] * 4, "rating": [3] * 4})
    for form in ("comma", "parquet"):
        assert Table(str(write(tmp_path, form, rows))).load().user_ids.ids.tolist() == sorted(ids)
    too_large = pa.table({"user": pa.array([2**63], pa.uint64()), "item": [1], "rating": [3]})
    parquet.write_table(too_large, tmp_path / "u.parquet")
    with pytest.raises(DataError, match=f"user '{2**63}' is not a whole number of at most 63 bits"):
        Table(str(tmp_path / "u.parquet")).load()


@pytest.mark.parametrize("form", ["comma", "parquet"])
def test_the_kind_of_ids_and_bad_times_do_not_depend_on_the_format(form: str, tmp_path: Path) -> None:
    rows = pd.DataFrame(
        {
            "user": ["1", "2", "x", "4"],
            "item": ["1", "2", "3", "4"],
            "rating": [3, 4, 9, 5],
            "time": ["2026-01-01", "soon", "2026-01-01", "2026-01-02"],
        }
    )
    dataset = Table(str(write(tmp_path, form, rows)), time="time", on_bad_rows="drop").load()
    assert dataset.user_ids.ids.tolist() == [1, 4]
    assert dataset.dropped == 2
    early = pd.DataFrame(
        {"user": [1], "item": [1], "rating": [3], "time": pd.to_datetime(["1969-12-31T23:59:59.5"])}
    )
    with pytest.raises(DataError, match="time"):
        Table(str(write(tmp_path, form, early)), time="time").load()


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (10**13, pa.timestamp("s")),
        (-(10**15), pa.timestamp("us", tz="Foo/Bar")),
        (-(2**31), pa.date32()),
        (2**62, pa.date64()),
    ],
    ids=str,
)
def test_dates_that_python_does_not_have_are_bad_rows(value: int, kind: pa.DataType, tmp_path: Path) -> None:
    storage = pa.int32() if kind == pa.date32() else pa.int64()
    times = pa.array([value], storage).view(kind)
    table = pa.table({"user": ["a"], "item": ["b"], "rating": [3], "time": times})
    parquet.write_table(table, tmp_path / "r.parquet")
    with pytest.raises(DataError, match=r"row 1: time 'of type .*' is not a time since 1970"):
        Table(str(tmp_path / "r.parquet"), time="time").load()


def test_a_constant_date_of_an_unknown_time_zone_is_no_feature(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    when = pa.array([10**9] * 2, pa.timestamp("s", tz="Foo/Bar"))
    parquet.write_table(pa.table({"item": ["1", "2"], "when": when}), tmp_path / "items.parquet")
    path = write(tmp_path, "comma", pd.DataFrame({"user": [1, 2], "item": [1, 2], "rating": [3, 4]}))
    Table(str(path), items=str(tmp_path / "items.parquet")).load()
    assert "column 'when' is constant" in caplog.text


def test_too_many_columns_are_refused(tmp_path: Path) -> None:
    names = [f"c{number}" for number in range(2001)]
    text = f"item,{','.join(names)}\n1{',1' * len(names)}\n"
    (tmp_path / "items.csv").write_text(text)
    path = write(tmp_path, "comma", pd.DataFrame({"user": [1, 2], "item": [1, 2], "rating": [3, 4]}))
    with pytest.raises(DataError, match=r"items\.csv: has 2,002 columns, and at most 2,000 are possible"):
        Table(str(path), items=str(tmp_path / "items.csv")).load()


def test_a_header_that_is_too_long_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("user,item,rating," + "x" * 100_000 + "\n1,2,3,4\n")
    with pytest.raises(DataError, match=r"line 1: longer than 100,000 bytes; not text with a header"):
        Table(str(tmp_path / "r.csv")).load()


def test_unused_categories_do_not_decide_what_times_are(tmp_path: Path) -> None:
    days = pd.Categorical(["2020-01-02", "2020-01-01"], ["0", "2020-01-01", "2020-01-02"])
    rows = pd.DataFrame({"user": [1, 2], "item": [1, 2], "rating": [3, 3], "time": days})
    rows.to_parquet(tmp_path / "r.parquet")
    times = Table(str(tmp_path / "r.parquet"), time="time").load().timestamps.tolist()
    assert times == [datetime(2020, 1, day, tzinfo=UTC).timestamp() for day in (2, 1)]


@pytest.mark.parametrize("convert", [lambda texts: texts, pd.Categorical])
def test_dates_and_numbers_in_one_column_are_reported(convert: Callable, tmp_path: Path) -> None:
    """The first row decides, also if the other kind is the first category."""
    times = convert(["2020-01-02", "100"])
    pd.DataFrame({"user": [1, 2], "item": [1, 2], "rating": [3, 3], "time": times}).to_parquet(
        tmp_path / "r.parquet"
    )
    with pytest.raises(DataError, match=r"row 2: time '100' is not a time since 1970"):
        Table(str(tmp_path / "r.parquet"), time="time").load()


@pytest.mark.parametrize(
    ("kind", "last"),
    [
        (pa.date32(), 2**31 - 1),
        (pa.timestamp("ms"), 2**62),
        (pa.timestamp("ms", "Europe/Berlin"), 2**62),
    ],
)
def test_dates_that_microseconds_cannot_represent_are_bad(
    kind: pa.DataType, last: int, tmp_path: Path
) -> None:
    """Their product with the factor of the unit would overflow to another date."""
    storage = pa.int32() if pa.types.is_date32(kind) else pa.int64()
    times = pa.array([1_000, last], storage).cast(kind)
    parquet.write_table(
        pa.table({"user": [1, 2], "item": [1, 2], "rating": [3, 3], "time": times}), tmp_path / "r.parquet"
    )
    with pytest.raises(DataError, match=r"row 2: time .* is not a time since 1970"):
        Table(str(tmp_path / "r.parquet"), time="time").load()
    assert len(Table(str(tmp_path / "r.parquet"), time="time", on_bad_rows="drop").load()) == 1


def test_floating_point_ids_are_exact_up_to_53_bits(tmp_path: Path) -> None:
    pd.DataFrame({"user": [1.0, 2.0**60], "item": [1, 2], "rating": [3, 3]}).to_parquet(
        tmp_path / "r.parquet"
    )
    with pytest.raises(
        DataError, match=r"row 2: user .* is not a whole number of at most 53 bits \(in a column"
    ):
        Table(str(tmp_path / "r.parquet")).load()
