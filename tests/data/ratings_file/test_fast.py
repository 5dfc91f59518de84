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
from recsys.data.ratings_file import fast, read
from recsys.data.ratings_file.format import RatingsFormat, TextSource
from recsys.data.ratings_file.read import read_ratings
from recsys.errors import DataError

SCALE = (0.5, 5.0)
TABS = RatingsFormat("\t")
COMMAS = RatingsFormat(",", header=True, quoted=True)
TEXT = RatingsFormat(",", header=True, text_ids=True, quoted=True)
HEADER = b"user,item,rating,timestamp"


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Divide texts of a few lines into many blocks."""
    monkeypatch.setattr(fast, "BLOCK_SIZE", 64)


def text_of(data: bytes, size: int | None = None) -> TextSource:
    return TextSource("some.file", len(data) if size is None else size, lambda: io.BytesIO(data))


def sample_rows(n: int) -> list[tuple[int, int, float, int]]:
    return [(1 + row // 3, 10 + row % 3, 0.5 + row % 10 / 2, 1000 + row) for row in range(n)]


def lines_of(rows: list[tuple], separator: str = ",") -> list[bytes]:
    return [separator.join(map(str, row)).encode() for row in rows]


def fail(*_: object) -> None:
    raise AssertionError("read row by row")


@pytest.fixture
def columnar_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "read_rows", fail)


@pytest.mark.parametrize("end", [True, False], ids=["newline at the end", "none"])
@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("fmt", [COMMAS, TEXT], ids=["numbers", "text"])
def test_rows_of_many_blocks_keep_their_order(
    fmt: RatingsFormat, newline: bytes, end: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if newline != b"\r":  # blocks end with LF, so a long text with CR is read row by row
        monkeypatch.setattr(read, "read_rows", fail)
    data = newline.join([HEADER, *lines_of(sample_rows(100)), *[b""] * end])
    frame, _ = read_ratings(text_of(data), fmt, SCALE)
    assert list(frame.itertuples(index=False, name=None)) == sample_rows(100)


@pytest.mark.usefixtures("columnar_only")
def test_double_colons_are_separators_in_every_block() -> None:
    data = b"\n".join(lines_of(sample_rows(100), "::"))
    frame, _ = read_ratings(text_of(data), RatingsFormat("::"), SCALE)
    assert list(frame.itertuples(index=False, name=None)) == sample_rows(100)


@pytest.mark.parametrize("bad", [b"7:x:9::4::1", b"7:9::4::1", b"7:::9::4::1", b"7::9::::1", b"7::9::4::1::"])
def test_single_and_extra_colons_are_not_separators(bad: bytes) -> None:
    with pytest.raises(DataError, match=r"^some\.file line 41: "):
        read_ratings(text_of(b"\n".join([*lines_of(sample_rows(40), "::"), bad])), RatingsFormat("::"), SCALE)


@pytest.mark.usefixtures("columnar_only")
@pytest.mark.parametrize("size", [0, 1, 10**6])
def test_columns_grow_if_the_size_of_the_text_is_wrong(size: int) -> None:
    data = b"\n".join(lines_of(sample_rows(100), "\t"))
    frame, _ = read_ratings(text_of(data, size), TABS, SCALE)
    assert list(frame.itertuples(index=False, name=None)) == sample_rows(100)


@pytest.mark.parametrize("line", [3, 50, 101])
@pytest.mark.parametrize(
    ("bad", "message"),
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
def test_a_bad_row_in_any_block_is_reported_with_its_line(line: int, bad: bytes, message: str) -> None:
    lines = [HEADER, *lines_of(sample_rows(100))]
    lines.insert(line - 1, bad)
    with pytest.raises(DataError) as error:
        read_ratings(text_of(b"\n".join(lines)), COMMAS, SCALE)
    assert str(error.value).startswith(f"some.file line {line}: {message}")
    frame, dropped = read_ratings(text_of(b"\n".join(lines)), COMMAS, SCALE, "drop")
    assert dropped == 1
    assert list(frame.itertuples(index=False, name=None)) == sample_rows(100)


def test_a_repeated_row_is_an_error_at_every_position() -> None:
    """Also at the end of a block, where each block alone is ascending."""
    for position in range(30):
        lines = [HEADER, *lines_of(sample_rows(30))]
        lines.insert(position + 2, lines[position + 1])
        with pytest.raises(DataError, match=f"line {position + 3}: .* before, in line {position + 2}\\."):
            read_ratings(text_of(b"\n".join(lines)), COMMAS, SCALE)


NUMBERS = st.integers(0, 9)
LARGE = st.sampled_from([-1, 0, 1, 2**31, 2**62, 2**63 - 1])
WORDS = st.sampled_from(["a", "b", "7", "07"])


@given(
    st.one_of(*(st.lists(st.tuples(ids, ids), min_size=1, max_size=60) for ids in (NUMBERS, LARGE, WORDS)))
)
def test_exactly_the_repeated_pairs_are_errors(pairs: list[tuple]) -> None:
    lines = [HEADER, *(f"{user},{item},4,1".encode() for user, item in pairs)]
    read_pairs = partial(read_ratings, text_of(b"\n".join(lines)), TEXT, SCALE)
    seen: dict[tuple, int] = {}
    for line, pair in enumerate(pairs, 2):
        if pair in seen:
            message = f"line {line}: user {pair[0]} has rated item {pair[1]} before, in line {seen[pair]}\\."
            with pytest.raises(DataError, match=message):
                read_pairs()
            return
        seen[pair] = line
    frame, _ = read_pairs()
    assert list(frame[["user", "item"]].astype(str).itertuples(index=False, name=None)) == [
        tuple(map(str, pair)) for pair in pairs
    ]


@pytest.mark.usefixtures("columnar_only")
@pytest.mark.parametrize("position", [0, 30, 99])
@pytest.mark.parametrize("word", ["eve", "007", str(10**20), "0x1F", "+5"])
def test_one_text_id_in_any_block_makes_all_ids_text(position: int, word: str) -> None:
    rows = sample_rows(100)
    rows[position] = (word, *rows[position][1:])  # type: ignore[assignment]
    frame, _ = read_ratings(text_of(b"\n".join([HEADER, *lines_of(rows)])), TEXT, SCALE)
    assert frame["user"].tolist() == [str(row[0]) for row in rows]
    assert frame["item"].tolist() == [row[1] for row in rows]


def test_a_timestamp_is_not_hexadecimal_where_text_ids_may_be() -> None:
    """pyarrow parses 0x3e9 as 1001."""
    lines = [b"0x1,0x2,4, 1001 ", *[f"u{row},0x{row},4,1001".encode() for row in range(40)]]
    frame, dropped = read_ratings(text_of(b"\n".join([HEADER, *lines])), TEXT, SCALE)
    assert (len(frame), dropped, set(frame["timestamp"])) == (41, 0, {1001})
    for time in (b"0x3e9", b'" 0X3E9 "'):
        data = b"\n".join([HEADER, *lines, b"u,i,4," + time, b"v,j,4,7"])
        with pytest.raises(
            DataError, match=r"line 43: timestamp '0[xX]3[eE]9' is neither a whole number nor"
        ):
            read_ratings(text_of(data), TEXT, SCALE)
        frame, dropped = read_ratings(text_of(data), TEXT, SCALE, "drop")
        assert (frame["user"].iloc[-1], dropped) == ("v", 1)


@pytest.mark.usefixtures("columnar_only")
def test_quoted_fields_and_spaces_around_ids_are_read() -> None:
    lines = [f'" u{row}  ","item ""{row}"", the",4,1'.encode() for row in range(40)]
    frame, _ = read_ratings(text_of(b"\n".join([HEADER, *lines])), TEXT, SCALE)
    assert frame["user"].tolist() == [f"u{row}" for row in range(40)]
    assert frame["item"].tolist() == [f'item "{row}", the' for row in range(40)]


def test_a_line_longer_than_a_block_is_read() -> None:
    data = b"\n".join([HEADER, b"a," + b"b" * 1000 + b",4,1", b"c,d,4,1"])
    assert read_ratings(text_of(data), TEXT, SCALE)[0]["item"].tolist() == ["b" * 1000, "d"]


@given(st.integers(1, 120), st.integers(30, 400))
def test_the_encoded_rows_do_not_depend_on_the_block_size(n: int, block: int) -> None:
    data = b"\n".join([HEADER, *lines_of(sample_rows(n))])
    frames = []
    with pytest.MonkeyPatch.context() as patch:
        for size in (block, 10**6):
            patch.setattr(fast, "BLOCK_SIZE", size)
            frames.append(read_ratings(text_of(data), COMMAS, SCALE)[0])
        patch.setattr(read, "read_columns", lambda *_: None)
        frames.append(read_ratings(text_of(data), COMMAS, SCALE)[0])
    one, *others = (encode("x", frame, NO_ITEMS, SCALE) for frame in frames)
    for other in others:
        assert other.sha256 == one.sha256
        for column in ("users", "items", "ratings", "timestamps"):
            np.testing.assert_array_equal(getattr(other, column), getattr(one, column), strict=True)
        pd.testing.assert_frame_equal(other.item_table, one.item_table)


@pytest.mark.parametrize("position", [0, 20, 39])
def test_ids_have_the_smallest_type_that_holds_all(position: int) -> None:
    rows = sample_rows(40)
    rows[position] = (2**31, *rows[position][1:])
    frame, _ = read_ratings(text_of(b"\n".join([HEADER, *lines_of(rows)])), COMMAS, SCALE)
    assert (frame["user"].dtype, frame["item"].dtype) == (np.int64, np.int32)
    assert frame["user"].tolist() == [row[0] for row in rows]
    wide = frame.astype({"item": np.int64})
    assert encode("x", wide, NO_ITEMS, SCALE).sha256 == encode("x", frame, NO_ITEMS, SCALE).sha256


def test_progress_counts_all_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(fast.tqdm, "update", lambda _, size: sizes.append(size))
    data = b"\n".join(lines_of(sample_rows(100), "\t"))
    read_ratings(text_of(data), TABS, SCALE)
    assert len(sizes) > 10
    assert sum(sizes) == len(data)


@pytest.mark.parametrize(("long", "terminal"), [(True, True), (True, False), (False, True)])
def test_progress_is_shown_for_long_files_on_a_terminal(
    long: bool, terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast, "PROGRESS_SIZE", 100 if long else 10**6)
    error = io.StringIO()
    error.isatty = lambda: terminal  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stderr", error)
    read_ratings(text_of(b"\n".join(lines_of(sample_rows(100), "\t"))), TABS, SCALE)
    assert ("some.file" in error.getvalue()) is (long and terminal)
