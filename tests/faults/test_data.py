"""Damaged ratings files give the right rows or an error, never wrong or missing rows (fuzzing)."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from support.archives import CSV_ITEMS, colons_members, csv_members, sample_ratings, tabs_members, zipped
from support.damage import damaged

from recsys.data.dataset import encode
from recsys.data.sources.archive import read_colons, read_csv, read_tabs
from recsys.errors import DataError

SCALE = (0.5, 5.0)


@dataclass(frozen=True)
class Format:
    """A file format: a valid file and its reader."""

    member: str
    separator: bytes
    members: dict
    read: object
    header: bool = False

    @property
    def valid(self) -> bytes:
        data = self.members[self.member]
        return data if isinstance(data, bytes) else data.encode()


CSV = csv_members(sample_ratings(CSV_ITEMS, halves=True))
FORMATS = {
    "tabs": Format("ml-100k/u.data", b"\t", tabs_members(sample_ratings()), read_tabs),
    "colons": Format("ml-1m/ratings.dat", b"::", colons_members(sample_ratings()), read_colons),
    "csv": Format("ml-latest-small/ratings.csv", b",", CSV, read_csv, header=True),
}


def read(fmt: Format, data: bytes, folder: Path) -> list[tuple[int, int, float, int]]:
    """Read a file with the reader of the project."""
    archive = folder / "tiny.zip"
    archive.write_bytes(zipped({**fmt.members, fmt.member: data}))
    frame = fmt.read(archive, fmt.member.split("/")[0], SCALE, "error").ratings
    return list(frame.itertuples(index=False, name=None))


def expected(fmt: Format, data: bytes) -> list[tuple[int, int, float, int]] | None:
    """Read a file with a regular expression; None if any line is not a rating."""
    lines = re.split(rb"\r\n|\n|\r", data.removeprefix(b"\xef\xbb\xbf"))
    while lines and not lines[-1]:
        lines.pop()
    number, rows = rb'\s*"?\s*([+-]?\d+)\s*"?\s*', []
    rating = rb'\s*"?\s*([+-]?[\d.]+(?:[eE][+-]?\d+)?)\s*"?\s*'
    pattern = fmt.separator.join([number, number, rating, number])
    for line in lines[1:] if fmt.header else lines:
        if not (match := re.fullmatch(pattern, line)):
            return None
        try:
            user, item, value, time = match.groups()
            rows.append((int(user), int(item), float(np.float32(value.decode())), int(time)))
        except ValueError:
            return None
    return rows


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_file_is_read_correctly_or_is_an_error(name: str, tmp_path_factory) -> None:
    fmt, folder = FORMATS[name], tmp_path_factory.mktemp("fuzz")
    assert len(read(fmt, fmt.valid, folder)) == 30
    assert read(fmt, fmt.valid, folder) == expected(fmt, fmt.valid)

    @settings(max_examples=400)
    @given(damaged(fmt.valid, fmt.separator))
    def check(data: bytes) -> None:
        try:
            found = read(fmt, data, folder)
        except DataError as problem:
            message = str(problem)
            assert fmt.member in message
            assert "line" in message or "holds no ratings" in message
            return
        assert found == expected(fmt, data)

    check()


@pytest.mark.slow
@pytest.mark.parametrize("member", ["u.item", "u.genre", "u.user"])
def test_damaged_items_and_users_are_an_error_or_have_no_effect(member: str, tmp_path_factory) -> None:
    """A title may be any text, but the tables keep one row per item and per user."""
    folder, members = tmp_path_factory.mktemp("fuzz"), tabs_members(sample_ratings())
    valid = members[f"ml-100k/{member}"]
    valid = valid if isinstance(valid, bytes) else valid.encode()

    @settings(max_examples=150)
    @given(damaged(valid, b"|"))
    def check(data: bytes) -> None:
        (folder / "tiny.zip").write_bytes(zipped({**members, f"ml-100k/{member}": data}))
        try:
            tables = read_tabs(folder / "tiny.zip", "ml-100k", SCALE, "error")
            dataset = encode("tiny", tables.ratings, tables.items, SCALE, user_table=tables.users)
        except DataError as problem:
            assert member in str(problem) or "u.item line" in str(
                problem
            )  # u.genre determines the fields of u.item
            return
        assert len(dataset.item_table) == len(dataset.item_ids) == 5
        assert len(dataset.user_table) == len(dataset.user_ids) == 6

    check()
