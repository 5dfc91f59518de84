"""Quotes in tables of items and users: a field may have line breaks, but a stray quote must not take rows into it."""

import csv
import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.data.sources.side_table import read_side_table
from recsys.errors import DataError

HEADER = "item,price,brand\n"
REST = "".join(f"i{row},{row}.5,b{row % 3}\n" for row in range(4, 12))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("rows", "line"),
    [
        ('i1,1,x\ni2,2,"x\n' + REST, 3),
        ('i1,1,x\ni2,"2,x\n' + REST, 3),
        ('i1,1,x\n"i2,2,x\n' + REST, 3),
        ('i1,1,"two\nlines"\ni2,2,"x\n' + REST + 'i3,3,"y\n', 4),  # two quotes, and text after the second
        ('i1,1,x\ni2,2,"12" disk"\n' + REST, 3),
        (REST + 'i1,1,"x', 10),
        (REST + 'i1,1,"x\n', 10),
        ('i1,1,"an \\"escaped\\" one"\n', 2),
    ],
)
def test_a_stray_quote_is_reported_with_its_line(packed: bool, rows: str, line: int, tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    content = (HEADER + rows).encode()
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(
        DataError, match=rf"^data\.items={path}:{line}: a quoted field of this row is not closed"
    ):
        read_side_table(path, "item", "data.items")


def test_quotes_that_end_their_fields_are_read(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    long = "x" * 200_000  # above the default limit of csv
    rows = f'"i1",1,"two\r\nlines, and a 12"" disk"\r\ni2,2,a 12" disk\r\n"i3","3",""\r\ni4,4,"{long}"\r\n'
    path.write_bytes((HEADER + rows).encode())
    side = read_side_table(path, "item", "data.items")
    assert side.ids.tolist() == ["i1", "i2", "i3", "i4"]
    assert side.columns["price"].to_pylist() == [1, 2, 3, 4]
    assert side.columns["brand"].to_pylist() == ['two\r\nlines, and a 12" disk', 'a 12" disk', "", long]
    assert csv.field_size_limit() == 131_072


@given(st.lists(st.text(st.sampled_from('ab",;\n\r é'), max_size=6), min_size=1, max_size=6))
def test_what_the_csv_module_writes_is_read(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    path = tmp_path_factory.mktemp("table") / "items.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerows([("item", "note"), *((f"i{row}", text) for row, text in enumerate(texts))])
    side = read_side_table(path, "item", "data.items", title="note")
    assert side.columns["note"].to_pylist() == texts


def test_a_quoted_header_after_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text('\ufeff"a,""b""",item\n1,x\n2,y\n', encoding="utf-8")
    side = read_side_table(path, "item", "data.items")
    assert side.columns.to_pydict() == {'a,"b"': [1, 2]}
