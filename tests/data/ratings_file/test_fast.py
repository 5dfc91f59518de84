import io
import sys
from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.datasets import NO_ITEMS

from recsys.data.dataset import encode
from recsys.data.ratings_file import fast as ratings_blocks
from recsys.data.ratings_file import read as ratings_file
from recsys.data.ratings_file.format import RatingsFormat, RatingsText
from recsys.data.ratings_file.read import read_ratings
from recsys.errors import DataError

SCALE = (0.5, 5.0)
TABS = RatingsFormat("\t")
COMMAS = RatingsFormat(",", header=True, quoted=True)
TEXT = RatingsFormat(",", header=True, text_ids=True, quoted=True)
HEADER = b"user,item,rating,timestamp"


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few lines are many blocks."""
    monkeypatch.setattr(ratings_blocks, "BLOCK", 64)


def text_of(data: bytes, size: int | None = None) -> RatingsText:
    return RatingsText("some.file", len(data) if size is None else size, lambda: io.BytesIO(data))


def rows(n: int) -> list[tuple[int, int, float, int]]:
    return [(1 + row // 3, 10 + row % 3, 0.5 + row % 10 / 2, 1000 + row) for row in range(n)]


def lines_of(made: list[tuple], separator: str = ",") -> list[bytes]:
    return [separator.join(map(str, row)).encode() for row in made]


def refuse(*_: object) -> None:
    raise AssertionError("walked")


@pytest.fixture
def never_walked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ratings_file, "read_rows", refuse)


@pytest.mark.parametrize("end", [True, False], ids=["newline at the end", "none"])
@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("form", [COMMAS, TEXT], ids=["numbers", "text"])
def test_rows_of_many_blocks_come_in_their_order(
    form: RatingsFormat, newline: bytes, end: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if newline != b"\r":  # of which a block finds no end, so that a long file of such lines is walked
        monkeypatch.setattr(ratings_file, "read_rows", refuse)
    data = newline.join([HEADER, *lines_of(rows(100)), *[b""] * end])
    frame, _ = read_ratings(text_of(data), form, SCALE)
    assert list(frame.itertuples(index=False, name=None)) == rows(100)


@pytest.mark.usefixtures("never_walked")
def test_colons_are_separators_in_every_block() -> None:
    data = b"\n".join(lines_of(rows(100), "::"))
    frame, _ = read_ratings(text_of(data), RatingsFormat("::"), SCALE)
    assert list(frame.itertuples(index=False, name=None)) == rows(100)


@pytest.mark.parametrize("bad", [b"7:x:9::4::1", b"7:9::4::1", b"7:::9::4::1", b"7::9::::1", b"7::9::4::1::"])
def test_nothing_else_than_two_colons_separates(bad: bytes) -> None:
    with pytest.raises(DataError, match=r"^some\.file line 41: "):
        read_ratings(text_of(b"\n".join([*lines_of(rows(40), "::"), bad])), RatingsFormat("::"), SCALE)


@pytest.mark.usefixtures("never_walked")
@pytest.mark.parametrize("size", [0, 1, 10**6])
def test_there_is_room_for_all_rows_whatever_the_size_lets_expect(size: int) -> None:
    data = b"\n".join(lines_of(rows(100), "\t"))
    frame, _ = read_ratings(text_of(data, size), TABS, SCALE)
    assert list(frame.itertuples(index=False, name=None)) == rows(100)


@pytest.mark.parametrize("line", [3, 50, 101])
@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (b"7,x,4,1", "item 'x' is not a whole number"),
        (b"7,900,5.5,1", "rating '5.5' is off the scale"),
        (b"7,900,4,-1", "timestamp '-1' is before 1970"),
        (b"7,900,,1", "rating is missing"),
        (b"7,900,4", "4 fields expected, 3 found"),
        (b"1,10,4,1", "user 1 has rated item 10 before, in line 2"),
        (b"", "4 fields expected, 0 found"),
    ],
)
def test_a_bad_row_of_any_block_is_named_with_its_line(line: int, bad: bytes, told: str) -> None:
    lines = [HEADER, *lines_of(rows(100))]
    lines.insert(line - 1, bad)
    with pytest.raises(DataError) as error:
        read_ratings(text_of(b"\n".join(lines)), COMMAS, SCALE)
    assert str(error.value).startswith(f"some.file line {line}: {told}")
    frame, dropped = read_ratings(text_of(b"\n".join(lines)), COMMAS, SCALE, "drop")
    assert dropped == 1
    assert list(frame.itertuples(index=False, name=None)) == rows(100)


def test_a_row_that_comes_twice_in_a_row_is_refused_at_every_place() -> None:
    """Between two of these places a block ends, and the rows of either side rise."""
    for place in range(30):
        lines = [HEADER, *lines_of(rows(30))]
        lines.insert(place + 2, lines[place + 1])
        with pytest.raises(DataError, match=f"line {place + 3}: .* before, in line {place + 2}\\."):
            read_ratings(text_of(b"\n".join(lines)), COMMAS, SCALE)


NUMBERS = st.integers(0, 9)
LARGE = st.sampled_from([-1, 0, 1, 2**31, 2**62, 2**63 - 1])
WORDS = st.sampled_from(["a", "b", "7", "07"])


@given(
    st.one_of(*(st.lists(st.tuples(ids, ids), min_size=1, max_size=60) for ids in (NUMBERS, LARGE, WORDS)))
)
def test_exactly_the_pairs_that_come_twice_are_refused(pairs: list[tuple]) -> None:
    lines = [HEADER, *(f"{user},{item},4,1".encode() for user, item in pairs)]
    read = partial(read_ratings, text_of(b"\n".join(lines)), TEXT, SCALE)
    seen: dict[tuple, int] = {}
    for line, pair in enumerate(pairs, 2):
        if pair in seen:
            told = f"line {line}: user {pair[0]} has rated item {pair[1]} before, in line {seen[pair]}\\."
            with pytest.raises(DataError, match=told):
                read()
            return
        seen[pair] = line
    frame, _ = read()
    assert list(frame[["user", "item"]].astype(str).itertuples(index=False, name=None)) == [
        tuple(map(str, pair)) for pair in pairs
    ]


@pytest.mark.usefixtures("never_walked")
@pytest.mark.parametrize("where", [0, 30, 99])
@pytest.mark.parametrize("word", ["eve", "007", str(10**20), "0x1F", "+5"])
def test_one_word_in_any_block_makes_all_ids_text(where: int, word: str) -> None:
    made = rows(100)
    made[where] = (word, *made[where][1:])  # type: ignore[assignment]
    frame, _ = read_ratings(text_of(b"\n".join([HEADER, *lines_of(made)])), TEXT, SCALE)
    assert frame["user"].tolist() == [str(row[0]) for row in made]
    assert frame["item"].tolist() == [row[1] for row in made]


@pytest.mark.usefixtures("never_walked")
def test_quoted_fields_and_spaces_around_ids_are_read() -> None:
    lines = [f'" u{row}  ","item ""{row}"", the",4,1'.encode() for row in range(40)]
    frame, _ = read_ratings(text_of(b"\n".join([HEADER, *lines])), TEXT, SCALE)
    assert frame["user"].tolist() == [f"u{row}" for row in range(40)]
    assert frame["item"].tolist() == [f'item "{row}", the' for row in range(40)]


def test_a_line_longer_than_a_block_is_read_all_the_same() -> None:
    data = b"\n".join([HEADER, b"a," + b"b" * 1000 + b",4,1", b"c,d,4,1"])
    assert read_ratings(text_of(data), TEXT, SCALE)[0]["item"].tolist() == ["b" * 1000, "d"]


@given(st.integers(1, 120), st.integers(30, 400))
def test_the_encoded_rows_do_not_depend_on_where_blocks_end(n: int, block: int) -> None:
    data = b"\n".join([HEADER, *lines_of(rows(n))])
    frames = []
    with pytest.MonkeyPatch.context() as patch:
        for size in (block, 10**6):
            patch.setattr(ratings_blocks, "BLOCK", size)
            frames.append(read_ratings(text_of(data), COMMAS, SCALE)[0])
        patch.setattr(ratings_file, "read_blocks", lambda *_: None)
        frames.append(read_ratings(text_of(data), COMMAS, SCALE)[0])
    one, *others = (encode("x", frame, NO_ITEMS, SCALE) for frame in frames)
    for other in others:
        assert other.sha256 == one.sha256
        for column in ("users", "items", "ratings", "timestamps"):
            np.testing.assert_array_equal(getattr(other, column), getattr(one, column), strict=True)
        pd.testing.assert_frame_equal(other.item_table, one.item_table)


@pytest.mark.parametrize("place", [0, 20, 39])
def test_ids_of_any_size_are_kept_as_small_as_they_all_fit(place: int) -> None:
    made = rows(40)
    made[place] = (2**31, *made[place][1:])
    frame, _ = read_ratings(text_of(b"\n".join([HEADER, *lines_of(made)])), COMMAS, SCALE)
    assert (frame["user"].dtype, frame["item"].dtype) == (np.int64, np.int32)
    assert frame["user"].tolist() == [row[0] for row in made]
    wide = frame.astype({"item": np.int64})
    assert encode("x", wide, NO_ITEMS, SCALE).sha256 == encode("x", frame, NO_ITEMS, SCALE).sha256


def test_progress_is_of_all_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    monkeypatch.setattr(ratings_blocks, "BLOCK", 64)
    monkeypatch.setattr(ratings_blocks.tqdm, "update", lambda _, size: told.append(size))
    data = b"\n".join(lines_of(rows(100), "\t"))
    read_ratings(text_of(data), TABS, SCALE)
    assert len(told) > 10
    assert sum(told) == len(data)


@pytest.mark.parametrize(("long", "terminal"), [(True, True), (True, False), (False, True)])
def test_progress_is_shown_of_long_files_on_a_terminal(
    long: bool, terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ratings_blocks, "LONG", 100 if long else 10**6)
    error = io.StringIO()
    error.isatty = lambda: terminal  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stderr", error)
    read_ratings(text_of(b"\n".join(lines_of(rows(100), "\t"))), TABS, SCALE)
    assert ("some.file" in error.getvalue()) is (long and terminal)
