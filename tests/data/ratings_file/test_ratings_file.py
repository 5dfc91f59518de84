import io
import math
import re
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.data.ratings_file import read as read_module
from recsys.data.ratings_file.format import OnBadRows, RatingsFormat, TextSource
from recsys.data.ratings_file.read import read_ratings
from recsys.errors import DataError

TABS = RatingsFormat("\t")
COMMAS = RatingsFormat(",", header=True, text_ids=True, quoted=True)
SCALE = (0.5, 5.0)
GOOD = ["1\t10\t4\t100", "2\t10\t3.5\t200", "3\t10\t1\t300"]

NUMBERS = st.integers(-(2**40), 2**40)
TEXT = st.text(st.sampled_from("aé7 ,\"'|;#日"), min_size=1, max_size=5).filter(str.strip)


def rows_of(ids: st.SearchStrategy) -> st.SearchStrategy[list[tuple]]:
    halves = st.integers(1, 10).map(lambda half: half / 2)
    row = st.tuples(ids, ids, halves, st.integers(0, 2**40))
    return st.lists(row, min_size=1, max_size=20, unique_by=lambda row: row[:2])


def text_of(data: bytes) -> TextSource:
    return TextSource("some.file", len(data), lambda: io.BytesIO(data))


def read(lines: list[str], fmt: RatingsFormat = TABS, **kwargs: str) -> tuple[pd.DataFrame, int]:
    return read_ratings(text_of(("\n".join(lines) + "\n").encode()), fmt, SCALE, **kwargs)


def read_with_both(data: bytes, fmt: RatingsFormat) -> pd.DataFrame:
    """Return the table of the columnar reader, after checking that the strict reader gives the same."""
    fast, _ = read_ratings(text_of(data), fmt, SCALE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(read_module, "read_columns", lambda *_: None)
        slow, dropped = read_ratings(text_of(data), fmt, SCALE)
    assert dropped == 0
    pd.testing.assert_frame_equal(fast.astype(slow.dtypes), slow)  # integer ids may be int32
    return fast


def test_columns_have_fixed_types() -> None:
    frame, dropped = read(GOOD)
    assert dropped == 0
    assert frame.dtypes.astype(str).to_dict() == {
        "user": "int32",
        "item": "int32",
        "rating": "float32",
        "timestamp": "int64",
    }
    assert frame.to_numpy().tolist() == [[1, 10, 4, 100], [2, 10, 3.5, 200], [3, 10, 1, 300]]


@given(rows_of(NUMBERS), st.sampled_from(["\n", "\r\n"]), st.sampled_from(["", "\n", "\n\n"]))
def test_both_readers_agree_on_integer_ids(rows: list, newline: str, end: str) -> None:
    text = "\n".join("\t".join(map(str, row)) for row in rows) + end
    frame = read_with_both(text.replace("\n", newline).encode(), TABS)
    assert list(frame.itertuples(index=False, name=None)) == rows


@given(rows_of(TEXT))
def test_both_readers_agree_on_quoted_text(rows: list) -> None:
    def quote(value: object) -> str:
        return '"' + str(value).replace('"', '""') + '"'

    stripped = [(user.strip(), item.strip(), *rest) for user, item, *rest in rows]
    if len({row[:2] for row in stripped}) < len(rows):
        return  # ids that differ in outer spaces only are equal
    lines = ["user,item,rating,timestamp", *(",".join(map(quote, row)) for row in rows)]
    frame = read_with_both("\n".join(lines).encode(), COMMAS)
    for position, column in enumerate(("user", "item")):
        assert frame[column].astype(str).tolist() == [row[position] for row in stripped]
    assert frame["rating"].tolist() == [row[2] for row in rows]


def test_the_strict_reader_is_used_only_for_bad_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("read row by row")

    monkeypatch.setattr(read_module, "read_rows", fail)
    assert len(read(GOOD[::-1])[0]) == 3
    with pytest.raises(AssertionError, match="read row by row"):
        read([*GOOD, GOOD[0]])


BAD = {
    "missing rating": ("4\t10\t\t100", "rating is missing"),
    "missing user": ("\t10\t4\t100", "user is missing"),
    "missing time": ("4\t10\t4\t", "timestamp is missing"),
    "word for a rating": ("4\t10\tgood\t100", "rating 'good' is not a number"),
    "word for a user": ("eve\t10\t4\t100", "user 'eve' is not a whole number"),
    "fraction for an item": ("4\t10.5\t4\t100", "item '10.5' is not a whole number"),
    "fraction for a time": ("4\t10\t4\t1.5", "timestamp '1.5' is not a whole number"),
    "digits of another script": ("٤\t10\t4\t100", "user '٤' is not a whole number"),
    "odd blank": ("4\t10\t4\t100\x1c", "timestamp '100\\x1c' is not a whole number"),
    "underscore": ("1_0\t10\t4\t100", "user '1_0' is not a whole number"),
    "above the scale": ("4\t10\t5.5\t100", "rating '5.5' is off the scale 0.5 to 5 (data.scale)"),
    "below the scale": ("4\t10\t0\t100", "rating '0' is off the scale 0.5 to 5 (data.scale)"),
    "nan": ("4\t10\tnan\t100", "rating 'nan' is off the scale 0.5 to 5 (data.scale)"),
    "inf": ("4\t10\tinf\t100", "rating 'inf' is off the scale 0.5 to 5 (data.scale)"),
    "before 1970": ("4\t10\t4\t-1", "timestamp '-1' is before 1970"),
    "too large": (f"{2**63}\t10\t4\t1", f"user '{2**63}' does not fit into 64 bits"),
    "duplicate": ("2\t10\t1\t999", "user 2 has rated item 10 before, in line 2"),
    "too few fields": ("4\t10\t4", "4 fields expected, 3 found ('4|10|4')"),
    "too many fields": ("4\t10\t4\t1\t9", "4 fields expected, 5 found ('4|10|4|1|9')"),
    "blank": ("", "4 fields expected, 0 found ('')"),
}
each_bad = pytest.mark.parametrize(("line", "message"), BAD.values(), ids=BAD.keys())


@pytest.mark.parametrize("rating", ["5.0000002", "0.49999999", "5.000001", "1e39", "-1e39"])
def test_a_bad_row_does_not_change_what_is_on_the_scale(rating: str) -> None:
    """Both readers compare the float32 that is stored."""
    is_valid = SCALE[0] <= np.float32(float(rating)) <= SCALE[1] if abs(float(rating)) < 9 else False
    lines = [*GOOD, f"4\t10\t{rating}\t100"]
    for more in ([], ["x\t1\t1\t1"]):
        frame, dropped = read([*lines, *more], on_bad_rows="drop")
        assert (4 in frame["user"].tolist()) == is_valid
        assert dropped == len(more) + (not is_valid)


@each_bad
def test_a_bad_row_is_reported_with_file_line_and_value(line: str, message: str) -> None:
    with pytest.raises(DataError) as error:
        read([*GOOD, line, "9\t10\t4\t100"])
    assert str(error.value).startswith(f"some.file line 4: {message}. data.on_bad_rows=drop ")


@each_bad
def test_a_bad_row_is_dropped_and_counted(line: str, message: str, caplog: pytest.LogCaptureFixture) -> None:
    frame, dropped = read([*GOOD, line, "9\t10\t4\t100", line], on_bad_rows="drop")
    # A blank line is a bad row, but not at the end of the file.
    assert dropped == (2 if line else 1)
    assert frame["user"].tolist() == [1, 2, 3, 9]
    assert f"{dropped} bad rows dropped" in caplog.text


@pytest.mark.parametrize("on_bad_rows", ["error", "drop"])
def test_many_blank_lines_take_little_memory(on_bad_rows: OnBadRows) -> None:
    """No object is kept for each of them: the text itself takes 30 bytes per line, copies included."""
    n = 300_000
    lines = [*GOOD, *[""] * n, "9\t10\t4\t100"]
    tracemalloc.start()
    try:
        if on_bad_rows == "error":
            with pytest.raises(DataError, match="line 4: 4 fields expected, 0 found"):
                read(lines)
        else:
            assert read(lines, on_bad_rows="drop")[1] == n
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 40 * n


@given(st.lists(st.sampled_from(["good", *BAD]), min_size=1, max_size=12))
def test_exactly_the_bad_rows_are_dropped(kinds: list[str]) -> None:
    good = [f"{100 + number}\t10\t4\t100" if kind == "good" else None for number, kind in enumerate(kinds)]
    lines = [row or BAD[kind][0] for row, kind in zip(good, kinds, strict=True)]
    frame, dropped = read([*GOOD, *lines, "9\t10\t4\t100"], on_bad_rows="drop")
    assert frame["user"].tolist() == [1, 2, 3, *(100 + n for n, row in enumerate(good) if row), 9]
    assert dropped == good.count(None)


def test_line_numbers_include_the_header() -> None:
    with pytest.raises(DataError, match=r"^some\.file line 3: rating 'x' is not a number"):
        read(["user,item,rating,timestamp", "a,b,4,1", "a,c,x,1"], COMMAS)


def test_columns_may_have_any_order() -> None:
    fmt = RatingsFormat(";", ("who", "what", "stars", None), header=True, text_ids=True)
    frame, _ = read(["note;stars;what;who", "x;4;b;eve", ";3;b;bob"], fmt)
    assert frame.to_numpy().tolist() == [["eve", "b", 4, 0], ["bob", "b", 3, 0]]
    with pytest.raises(DataError, match="line 3: stars is missing"):
        read(["note;stars;what;who", "x;4;b;eve", "x;;b;bob"], fmt)
    with pytest.raises(DataError, match="line 1: 2 columns are called 'who'"):
        read(["who;stars;what;who", "bob;4;b;eve"], fmt)


@pytest.mark.parametrize("data", [b"who,item,rating,timestamp\n", b"\nuser,item\n", b"", b"\x00" * 90_000])
def test_a_missing_column_is_reported_with_the_columns_of_the_file(data: bytes) -> None:
    with pytest.raises(DataError, match=r"^some\.file line 1: no column 'user'; the file has .*separator"):
        read_ratings(text_of(data), COMMAS, SCALE)


ITEM_NAMES = RatingsFormat(",", item_names=("item", "movie", "title"), header=True, text_ids=True)


@pytest.mark.parametrize(
    ("header", "items"),
    [
        ("user,item,rating,timestamp", ["a"]),
        ("user,movie,rating,timestamp", ["a"]),
        ("user,title,rating,timestamp", ["a"]),
        ("timestamp,title,rating,movie,user", ["b"]),
    ],
)
def test_the_first_known_item_column_is_used(header: str, items: list[str]) -> None:
    row = {"user": "u", "item": "a", "movie": "a", "title": "a", "rating": "4", "timestamp": "1"}
    if "movie" in header and "title" in header:
        row |= {"movie": "b"}
    frame, _ = read([header, ",".join(row[name] for name in header.split(","))], ITEM_NAMES)
    assert frame["item"].tolist() == items


def test_without_a_known_item_column_all_names_are_reported() -> None:
    with pytest.raises(DataError) as error:
        read(["user,film,rating,timestamp", "u,a,4,1"], ITEM_NAMES)
    assert "line 1: no column 'item' or 'movie' or 'title'; the file has 'user', 'film'" in str(error.value)


@pytest.mark.parametrize("data", [b"", b"\n", b"user,item,rating,timestamp\n"])
def test_a_file_without_rows_is_an_error(data: bytes) -> None:
    fmt = COMMAS if b"user" in data else TABS
    with pytest.raises(DataError, match=r"^some\.file: holds no ratings$"):
        read_ratings(text_of(data), fmt, SCALE)


def test_a_file_with_only_bad_rows_is_an_error() -> None:
    with pytest.raises(DataError, match="holds no ratings"):
        read(["x\t1\t1\t1"], on_bad_rows="drop")


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (["1", "-20"], [1, -20]),
        (["007", "8"], ["007", "8"]),
        (["NA", "null"], ["NA", "null"]),
        (["1", "x"], ["1", "x"]),
        (["1", str(10**20)], ["1", str(10**20)]),
    ],
)
def test_text_ids_become_integers_only_if_all_are_integers(ids: list[str], expected: list) -> None:
    frame, _ = read(["user,item,rating,timestamp", *(f"{id},m,4,1" for id in ids)], COMMAS)
    assert frame["user"].tolist() == expected


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte order mark"])
@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
def test_byte_order_marks_and_all_newlines_are_read(mark: bytes, newline: bytes) -> None:
    data = mark + newline.join([b"user,item,rating,timestamp", "é,b,4,1".encode(), b"x,b,3,1", b""])
    assert read_with_both(data, COMMAS)["user"].tolist() == ["é", "x"]


def test_ids_in_another_encoding_are_an_error() -> None:
    data = "user,item,rating,timestamp\né,b,4,1\nè,b,3,1\n".encode("latin-1")
    with pytest.raises(DataError, match="line 2: user '\ufffd' is not UTF-8 text"):
        read_ratings(text_of(data), COMMAS, SCALE)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("9" * 5000 + ",m,4,1", "user '999999.*' (5,000 characters) is longer than 1000 characters"),
        ("b,m,4," + "9" * 5000, "timestamp '999999.*' (5,000 characters) does not fit into 64 bits"),
        ("b,m,x" + "9" * 5000 + ",1", "rating 'x99999.*' (5,001 characters) is not a number"),
        ('"' + "9" * 200_000 + '",m,4,1', "field larger than field limit (131072)"),
        ("b,m,4,1," + "9" * 5000, "4 fields expected, 5 found ('b|m|4|1|9999.*' (5,008 characters))"),
        ("b\0,m,4,1", "user 'b\\x00' has a NUL character"),
        ("a,\0m,4,1", "item '\\x00m' has a NUL character"),
    ],
)
def test_long_fields_and_nul_characters_are_errors(row: str, message: str) -> None:
    lines = ["user,item,rating,timestamp", "b,n,4,1", row, "c,n,4,1"]
    with pytest.raises(DataError) as error:
        read(lines, COMMAS)
    assert re.match(re.escape(f"some.file line 3: {message}").replace(r"\.\*", ".*"), str(error.value))
    assert len(str(error.value)) < 300
    frame, dropped = read(lines, COMMAS, on_bad_rows="drop")
    assert (frame["user"].tolist(), dropped) == (["b", "c"], 1)


def test_ids_that_differ_in_a_nul_character_are_not_merged() -> None:
    with pytest.raises(DataError, match=r"line 3: user 'u0\\x00' has a NUL character"):
        read(["user,item,rating,timestamp", "u0,a,4,1", "u0\0,a,4,1"], COMMAS)


def test_a_long_header_is_shortened_in_the_error() -> None:
    for header in ("x" * 100_000, ",".join(f"column{number}" for number in range(5000))):
        with pytest.raises(DataError, match=r"line 1: no column 'user'; the file has ") as error:
            read([header, "1,2,3,4"], COMMAS)
        assert len(str(error.value)) < 600


def test_ratings_are_rounded_to_single_precision() -> None:
    frame, _ = read(["1\t1\t3.3\t1"])
    assert frame["rating"][0] == np.float32(3.3)
    assert not math.isclose(frame["rating"][0], 3.3, rel_tol=1e-9)
