import io
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.data.ratings_file import read as ratings_file
from recsys.data.ratings_file.format import RatingsFormat, RatingsText
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


def text_of(data: bytes) -> RatingsText:
    return RatingsText("some.file", len(data), lambda: io.BytesIO(data))


def read(lines: list[str], form: RatingsFormat = TABS, **kwargs: str) -> tuple[pd.DataFrame, int]:
    return read_ratings(text_of(("\n".join(lines) + "\n").encode()), form, SCALE, **kwargs)


def both_ways(data: bytes, form: RatingsFormat) -> pd.DataFrame:
    """The frame read at once, after checking that the walk over single rows gives the same."""
    fast, _ = read_ratings(text_of(data), form, SCALE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ratings_file, "read_blocks", lambda *_: None)
        slow, dropped = read_ratings(text_of(data), form, SCALE)
    assert dropped == 0
    pd.testing.assert_frame_equal(fast.astype(slow.dtypes), slow)  # ids may be kept in 32 bits
    return fast


def test_columns_have_their_types_and_values() -> None:
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
def test_numbers_are_read_alike_at_once_and_row_by_row(rows: list, newline: str, end: str) -> None:
    text = "\n".join("\t".join(map(str, row)) for row in rows) + end
    frame = both_ways(text.replace("\n", newline).encode(), TABS)
    assert list(frame.itertuples(index=False, name=None)) == rows


@given(rows_of(TEXT))
def test_quoted_text_is_read_alike_at_once_and_row_by_row(rows: list) -> None:
    def quote(value: object) -> str:
        return '"' + str(value).replace('"', '""') + '"'

    stripped = [(user.strip(), item.strip(), *rest) for user, item, *rest in rows]
    if len({row[:2] for row in stripped}) < len(rows):
        return  # two ids that only their outer spaces tell apart are one
    lines = ["user,item,rating,timestamp", *(",".join(map(quote, row)) for row in rows)]
    frame = both_ways("\n".join(lines).encode(), COMMAS)
    for place, column in enumerate(("user", "item")):
        assert frame[column].astype(str).tolist() == [row[place] for row in stripped]
    assert frame["rating"].tolist() == [row[2] for row in rows]


def test_only_the_rows_that_are_not_sound_are_walked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("walked")

    monkeypatch.setattr(ratings_file, "read_rows", refuse)
    assert len(read(GOOD[::-1])[0]) == 3
    with pytest.raises(AssertionError, match="walked"):
        read([*GOOD, GOOD[0]])


BAD = {
    "missing rating": ("4\t10\t\t100", "rating is missing"),
    "missing user": ("\t10\t4\t100", "user is missing"),
    "missing time": ("4\t10\t4\t", "timestamp is missing"),
    "word for a rating": ("4\t10\tgood\t100", "rating 'good' is not a number"),
    "word for a user": ("eve\t10\t4\t100", "user 'eve' is not a whole number"),
    "fraction for a item": ("4\t10.5\t4\t100", "item '10.5' is not a whole number"),
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
each_bad = pytest.mark.parametrize(("line", "told"), BAD.values(), ids=BAD.keys())


@each_bad
def test_a_bad_row_is_named_with_file_line_and_value(line: str, told: str) -> None:
    with pytest.raises(DataError) as error:
        read([*GOOD, line, "9\t10\t4\t100"])
    assert str(error.value) == f"some.file line 4: {told}. data.on_bad_rows=drop leaves such rows out"


@each_bad
def test_a_bad_row_is_dropped_and_counted(line: str, told: str, caplog: pytest.LogCaptureFixture) -> None:
    frame, dropped = read([*GOOD, line, "9\t10\t4\t100", line], on_bad_rows="drop")
    # The last line is blank only at the end of the file, where it is no row.
    assert dropped == (2 if line else 1)
    assert frame["user"].tolist() == [1, 2, 3, 9]
    assert f"{dropped} bad rows dropped" in caplog.text


@given(st.lists(st.sampled_from(["good", *BAD]), min_size=1, max_size=12))
def test_exactly_the_bad_rows_are_dropped(kinds: list[str]) -> None:
    good = [f"{100 + number}\t10\t4\t100" if kind == "good" else None for number, kind in enumerate(kinds)]
    lines = [row or BAD[kind][0] for row, kind in zip(good, kinds, strict=True)]
    frame, dropped = read([*GOOD, *lines, "9\t10\t4\t100"], on_bad_rows="drop")
    assert frame["user"].tolist() == [1, 2, 3, *(100 + n for n, row in enumerate(good) if row), 9]
    assert dropped == good.count(None)


def test_the_line_is_counted_with_the_header() -> None:
    with pytest.raises(DataError, match=r"^some\.file line 3: rating 'x' is not a number"):
        read(["user,item,rating,timestamp", "a,b,4,1", "a,c,x,1"], COMMAS)


def test_columns_are_found_by_name_wherever_they_stand() -> None:
    form = RatingsFormat(";", ("who", "what", "stars", None), header=True, text_ids=True)
    frame, _ = read(["note;stars;what;who", "x;4;b;eve", ";3;b;bob"], form)
    assert frame.to_numpy().tolist() == [["eve", "b", 4, 0], ["bob", "b", 3, 0]]
    with pytest.raises(DataError, match="line 3: stars is missing"):
        read(["note;stars;what;who", "x;4;b;eve", "x;;b;bob"], form)
    with pytest.raises(DataError, match="line 1: 2 columns are called 'who'"):
        read(["who;stars;what;who", "bob;4;b;eve"], form)


@pytest.mark.parametrize("data", [b"who,item,rating,timestamp\n", b"\nuser,item\n", b"", b"\x00" * 200_000])
def test_a_missing_column_is_named_with_the_columns_there_are(data: bytes) -> None:
    with pytest.raises(DataError, match=r"^some\.file line 1: no column 'user'; the file has .*separator"):
        read_ratings(text_of(data), COMMAS, SCALE)


@pytest.mark.parametrize("data", [b"", b"\n", b"user,item,rating,timestamp\n"])
def test_a_file_without_rows_is_refused(data: bytes) -> None:
    form = COMMAS if b"user" in data else TABS
    with pytest.raises(DataError, match=r"^some\.file: holds no ratings$"):
        read_ratings(text_of(data), form, SCALE)


def test_nothing_left_after_dropping_is_refused() -> None:
    with pytest.raises(DataError, match="holds no ratings"):
        read(["x\t1\t1\t1"], on_bad_rows="drop")


@pytest.mark.parametrize(
    ("ids", "read_as"),
    [
        (["1", "-20"], [1, -20]),
        (["007", "8"], ["007", "8"]),
        (["NA", "null"], ["NA", "null"]),
        (["1", "x"], ["1", "x"]),
        (["1", str(10**20)], ["1", str(10**20)]),
    ],
)
def test_text_ids_become_numbers_only_where_all_are_plain_ones(ids: list[str], read_as: list) -> None:
    frame, _ = read(["user,item,rating,timestamp", *(f"{id},m,4,1" for id in ids)], COMMAS)
    assert frame["user"].tolist() == read_as


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte order mark"])
@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
def test_marks_and_newlines_of_other_systems_are_read(mark: bytes, newline: bytes) -> None:
    data = mark + newline.join([b"user,item,rating,timestamp", "é,b,4,1".encode(), b"x,b,3,1", b""])
    assert both_ways(data, COMMAS)["user"].tolist() == ["é", "x"]


def test_ids_in_another_encoding_are_refused_not_merged() -> None:
    data = "user,item,rating,timestamp\né,b,4,1\nè,b,3,1\n".encode("latin-1")
    with pytest.raises(DataError, match="line 2: user '\ufffd' is not UTF-8 text"):
        read_ratings(text_of(data), COMMAS, SCALE)


def test_a_field_without_end_is_an_error_of_its_line() -> None:
    with pytest.raises(DataError, match=r"some\.file line 4: field larger than field limit"):
        read([*GOOD, "9" * 200_000], on_bad_rows="drop")


def test_ratings_are_rounded_to_single_precision() -> None:
    frame, _ = read(["1\t1\t3.3\t1"])
    assert frame["rating"][0] == np.float32(3.3)
    assert not math.isclose(frame["rating"][0], 3.3, rel_tol=1e-9)
