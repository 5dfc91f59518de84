"""Ratings files that something has happened to: the right rows or an error, never other rows or fewer."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.archives import CSV_ITEMS, colons_members, csv_members, sample_ratings, tabs_members, zipped

from recsys.data.dataset import encode
from recsys.data.sources.archive import read_colons, read_csv, read_tabs
from recsys.errors import DataError

SCALE = (0.5, 5.0)


@dataclass(frozen=True)
class Kind:
    """One layout: a sound file, and how it is read."""

    member: str
    separator: bytes
    members: dict
    read: object
    header: bool = False

    @property
    def sound(self) -> bytes:
        data = self.members[self.member]
        return data if isinstance(data, bytes) else data.encode()


CSV = csv_members(sample_ratings(CSV_ITEMS, halves=True))
KINDS = {
    "tabs": Kind("ml-100k/u.data", b"\t", tabs_members(sample_ratings()), read_tabs),
    "colons": Kind("ml-1m/ratings.dat", b"::", colons_members(sample_ratings()), read_colons),
    "csv": Kind("ml-latest-small/ratings.csv", b",", CSV, read_csv, header=True),
}


def read(kind: Kind, data: bytes, folder: Path) -> list[tuple[int, int, float, int]]:
    """What the project's reader makes of it."""
    archive = folder / "tiny.zip"
    archive.write_bytes(zipped({**kind.members, kind.member: data}))
    frame = kind.read(archive, kind.member.split("/")[0], SCALE, "error").ratings
    return list(frame.itertuples(index=False, name=None))


def expected(kind: Kind, data: bytes) -> list[tuple[int, int, float, int]] | None:
    """The same, told by a pattern: None where any line is not plainly a rating."""
    lines = re.split(rb"\r\n|\n|\r", data.removeprefix(b"\xef\xbb\xbf"))
    while lines and not lines[-1]:
        lines.pop()
    number, rows = rb'\s*"?\s*([+-]?\d+)\s*"?\s*', []
    rating = rb'\s*"?\s*([+-]?[\d.]+(?:[eE][+-]?\d+)?)\s*"?\s*'
    pattern = kind.separator.join([number, number, rating, number])
    for line in lines[1:] if kind.header else lines:
        if not (match := re.fullmatch(pattern, line)):
            return None
        try:
            user, item, value, time = match.groups()
            rows.append((int(user), int(item), float(np.float32(value.decode())), int(time)))
        except ValueError:
            return None
    return rows


ANYTHING = r"""\x00 \xff\xfe \xef\xbb\xbf \r \r\n \n \n\n \t , :: : ; \x20 " ' - -1 0 nan inf 1e3 0x1F 1_0
9223372036854775807 9223372036854775808 99999999999999999999999 \xc3\x9cn\xc3\xafcode \x1a 2524608000"""
PIECES = [piece.encode().decode("unicode_escape").encode("latin-1") for piece in ANYTHING.split()]


@st.composite
def damaged(draw: st.DrawFn, kind: Kind) -> bytes:
    """A sound file after one to three accidents."""
    data = kind.sound
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(data)))
        end = place + draw(st.sampled_from([0, 0, 1, 2, 5, 30]))
        what = draw(st.sampled_from(["cut", "put", "double", "newlines", "swap"]))
        if what == "cut":
            data = data[:place]
        elif what == "put":
            data = data[:place] + draw(st.sampled_from(PIECES) | st.binary(max_size=3)) + data[end:]
        elif what == "double":
            data = data + data[place:end]
        elif what == "newlines":
            data = data.replace(b"\r\n", b"\n").replace(b"\n", draw(st.sampled_from([b"\r\n", b"\n", b"\r"])))
        else:
            data = data.replace(kind.separator, draw(st.sampled_from([b",", b"\t", b"::", b";", b"|"])), 3)
    return data


@pytest.mark.parametrize("name", KINDS)
def test_a_damaged_file_gives_its_rows_or_names_the_line(name: str, tmp_path_factory) -> None:
    kind, folder = KINDS[name], tmp_path_factory.mktemp("fuzz")
    assert len(read(kind, kind.sound, folder)) == 30
    assert read(kind, kind.sound, folder) == expected(kind, kind.sound)

    @settings(max_examples=400)
    @given(damaged(kind))
    def check(data: bytes) -> None:
        try:
            found = read(kind, data, folder)
        except DataError as problem:
            told = str(problem)
            assert kind.member in told
            assert "line" in told or "holds no ratings" in told or "no column" in told
            return
        assert found == expected(kind, data)

    check()


@pytest.mark.parametrize("member", ["u.item", "u.genre", "u.user"])
def test_damage_beside_the_ratings_is_an_error_or_harmless(member: str, tmp_path_factory) -> None:
    """Titles may hold anything; but every item keeps a line, and every person one of their own."""
    folder, members = tmp_path_factory.mktemp("fuzz"), tabs_members(sample_ratings())
    sound = members[f"ml-100k/{member}"]
    sound = sound if isinstance(sound, bytes) else sound.encode()

    @settings(max_examples=150)
    @given(damaged(Kind(member, b"|", {member: sound}, None)))
    def check(data: bytes) -> None:
        (folder / "tiny.zip").write_bytes(zipped({**members, f"ml-100k/{member}": data}))
        try:
            tables = read_tabs(folder / "tiny.zip", "ml-100k", SCALE, "error")
            dataset = encode("tiny", tables.ratings, tables.items, SCALE, people=tables.people)
        except DataError as problem:
            assert member in str(problem) or "u.item line" in str(problem)  # whose fields are by genre
            return
        assert len(dataset.item_table) == len(dataset.item_ids) == 5
        assert len(dataset.user_table) == len(dataset.user_ids) == 6

    check()
