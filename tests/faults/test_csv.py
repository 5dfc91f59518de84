"""Damaged CSV files with quotes and text ids give the right rows or an error that names the right line (fuzzing)."""

import re
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.damage import QUOTES, TOKENS, damaged

from recsys.data.dataset import Dataset
from recsys.data.ratings_file import fast
from recsys.data.sources import table
from recsys.data.sources.table import Table
from recsys.errors import DataError

HEADER = b"user,note,rating,item\n"
SCALE = (0.5, 5.0)
IDS = ["u1", '"u 2"', '"u,3"', '"say ""hi"""', "7", "007", "\u00e9t\u00e9", '5" disk']
NOTES = ["", "x", '"a, b"', '"""quoted"""', '""']
VALID = "".join(
    f"{user},{NOTES[(place + row) % 5]},{['4', '3.5', chr(34) + '2' + chr(34)][row % 3]},i{place}\n"
    for row, user in enumerate(IDS)
    for place in range(3)
).encode()

# A quoted field may be followed by further text; a quote within other text is an ordinary character.
FIELD = re.compile(r'"((?:[^"]|"")*+)"([^,]*)|(?!")([^,]*)')
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass
class Expected:
    """The good rows of a file (user, item, rating), and the numbers of its bad lines."""

    rows: list[tuple[str, str, float]] = field(default_factory=list)
    bad: list[int] = field(default_factory=list)


def fields_of(line: str) -> list[str] | None:
    """Split a line with a regular expression; None if a quote is not closed."""
    fields, position = [], 0
    while match := FIELD.match(line, position):
        quoted, after, plain = match.groups()
        fields.append(plain if quoted is None else quoted.replace('""', '"') + after)
        if match.end() == len(line):
            return fields
        position = match.end() + 1
    return None


def row_of(line: str) -> tuple[str, str, float] | None:
    """Return user, item and rating of a line; None if it is bad."""
    fields = fields_of(line) if line else None
    if fields is None or len(fields) != 4:
        return None
    user, rating, item = fields[0].strip(), fields[2].strip(" \t\r\n\f\v"), fields[3].strip()
    if not user or not item or re.search("[\0\ufffd]", user + item) or not NUMBER.fullmatch(rating):
        return None
    return (user, item, float(np.float32(rating))) if SCALE[0] <= float(rating) <= SCALE[1] else None


def expected(body: bytes) -> Expected:
    """Read the lines below the header one by one."""
    lines = re.split("\r\n|\n|\r", body.decode(errors="replace"))
    while lines and not lines[-1]:
        lines.pop()
    result, seen = Expected(), set()
    for number, line in enumerate(lines, 2):
        row = row_of(line)
        if row is None or row[:2] in seen:
            result.bad.append(number)
        else:
            seen.add(row[:2])
            result.rows.append(row)
    return result


def rows_of(dataset: Dataset) -> list[tuple[str, str, float]]:
    users, items = dataset.user_ids.to_ids(dataset.users), dataset.item_ids.to_ids(dataset.items)
    return [(str(u), str(i), r) for u, i, r in zip(users, items, dataset.ratings.tolist(), strict=True)]


def test_the_expectation_itself() -> None:
    assert fields_of('a,"b ""c"", d"e,,5" f') == ["a", 'b "c", de', "", '5" f']
    assert fields_of('a,"b') is None
    assert fields_of('a,"b""') is None
    assert expected(b'a,,4,x\na,,4,x\n\nb,"\n",5,y\nc,,2,z\n\n').bad == [3, 4, 5, 6]


@pytest.mark.slow
def test_a_damaged_csv_file_is_read_correctly_or_is_an_error(tmp_path_factory, monkeypatch) -> None:
    file = tmp_path_factory.mktemp("fuzz") / "own.csv"
    monkeypatch.setattr(table, "cached", lambda _name, _identity, build: build())
    assert len(expected(VALID).rows) == len(IDS) * 3
    assert not expected(VALID).bad

    @settings(max_examples=400)
    @given(
        st.one_of(damaged(VALID, b",", tokens) for tokens in (QUOTES, [*TOKENS, *QUOTES])),
        st.sampled_from([100, 4 * 2**20]),
    )
    def check(body: bytes, block: int) -> None:
        monkeypatch.setattr(fast, "BLOCK_SIZE", block)
        file.write_bytes(HEADER + body)
        right = expected(body)
        try:
            found = rows_of(Table(str(file), scale=SCALE).load())
        except DataError as problem:
            reason = f"own.csv line {right.bad[0]}: " if right.bad else "own.csv: holds no ratings"
            assert reason in str(problem)
        else:
            assert (found, right.bad) == (right.rows, [])
        try:
            dataset = Table(str(file), scale=SCALE, on_bad_rows="drop").load()
        except DataError as problem:
            assert "own.csv: holds no ratings" in str(problem)
            assert not right.rows
        else:
            assert rows_of(dataset) == right.rows
            assert dataset.dropped == len(right.bad)

    check()
