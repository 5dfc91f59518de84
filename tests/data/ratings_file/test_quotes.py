"""A quoted field ends in the line in which it begins."""

import io

import pytest

from recsys.data.ratings_file import fast, read
from recsys.data.ratings_file.format import RatingsFormat, TextSource
from recsys.data.ratings_file.read import read_ratings
from recsys.errors import DataError

SCALE = (0.5, 5.0)
COLUMNS = ("user", "item", "rating", "note")  # nobody reads the last
TEXT = RatingsFormat(",", ("user", "item", "rating", None), header=True, text_ids=True, quoted=True)


def text_of(lines: list[str], end: str = "\n") -> TextSource:
    data = ("\n".join(lines) + end).encode()
    return TextSource("some.file", len(data), lambda: io.BytesIO(data))


def lines_with(broken: dict[int, str], columns: tuple[str, ...] = COLUMNS, n: int = 30) -> list[str]:
    """Return a header and n rows; those in `broken` have a quote before the field of that column."""
    lines = [",".join(columns)]
    for row in range(n):
        fields = {"user": f"u{row}", "item": f"i{row}", "rating": "3", "note": "x"}
        if row in broken:
            fields[broken[row]] = '"' + fields[broken[row]]
        lines.append(",".join(fields[column] for column in columns))
    return lines


@pytest.mark.parametrize(("block", "end"), [(64, "\n"), (64, ""), (10**6, "")])
@pytest.mark.parametrize("row", [0, 13, 29])
@pytest.mark.parametrize("last", ["item", "note"])
@pytest.mark.parametrize("column", COLUMNS)
def test_an_unclosed_quote_is_one_bad_row(
    column: str, last: str, row: int, block: int, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast, "BLOCK_SIZE", block)
    lines = lines_with({row: column}, (*(name for name in COLUMNS if name != last), last))
    with pytest.raises(
        DataError, match=rf"^some\.file line {row + 2}: a quote is not closed in this line \("
    ):
        read_ratings(text_of(lines, end), TEXT, SCALE)
    frame, dropped = read_ratings(text_of(lines, end), TEXT, SCALE, "drop")
    assert dropped == 1
    assert frame["user"].tolist() == [f"u{number}" for number in range(30) if number != row]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("row", ['"a,i,3,x{}b"', 'u,"a{}b",3,x', 'u,i,"3{}",x', 'u,i,3,"a{}b"', 'u,i,3,"{}"'])
def test_a_quoted_field_that_spans_lines_is_a_bad_row(row: str, newline: str) -> None:
    lines = [*lines_with({}), row.format(newline), "v,j,4,x"]
    with pytest.raises(DataError, match=r"^some\.file line 32: a quote is not closed in this line"):
        read_ratings(text_of(lines), TEXT, SCALE)
    frame, dropped = read_ratings(text_of(lines), TEXT, SCALE, "drop")
    assert dropped == 2
    assert frame["user"].tolist() == [*(f"u{number}" for number in range(30)), "v"]


def test_every_line_may_have_an_unclosed_quote() -> None:
    lines = [*lines_with(dict.fromkeys(range(2000), "note"), n=2000), "v,j,4,x"]
    frame, dropped = read_ratings(text_of(lines), TEXT, SCALE, "drop")
    assert (frame["user"].tolist(), dropped) == (["v"], 2000)


@pytest.mark.parametrize("header", ['user,item,rating,"note', 'user,item,"rating', '"user,item,rating'])
def test_an_unclosed_quote_in_the_header_is_an_error(header: str) -> None:
    for on_bad_rows in ("error", "drop"):
        with pytest.raises(DataError, match=r"^some\.file line 1: a quote is not closed in this line"):
            read_ratings(text_of([header, 'u,i,3,"'], ""), TEXT, SCALE, on_bad_rows)


@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("end", [True, False], ids=["newline at the end", "none"])
def test_good_quotes_are_not_read_row_by_row(
    newline: str, end: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast, "BLOCK_SIZE", 100)
    monkeypatch.setattr(read, "read_rows", lambda *_: pytest.fail("read row by row"))
    lines = ['"user",item,rating,note', *(f'"u{row}","a ""{row}"", b",3,"x,y"' for row in range(60))]
    data = (newline.join(lines) + newline * end).encode()
    frame, _ = read_ratings(TextSource("some.file", len(data), lambda: io.BytesIO(data)), TEXT, SCALE)
    assert frame["user"].tolist() == [f"u{row}" for row in range(60)]
    assert frame["item"].tolist() == [f'a "{row}", b' for row in range(60)]
