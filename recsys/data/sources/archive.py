"""MovieLens archives to Ratings and Items frames, one reader per format.

Members are read inside the archive and never unpacked, so no path in it can reach the disk.

Ratings frames have the columns user, item, rating, timestamp (0: unknown); Items frames have item, title
("Name (Year)"), year (missing where the title has none) and genres ("Drama|War"); People frames, where a
release has them, user, and as text gender, age and occupation.
"""

import csv
import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from recsys.data.ratings_file.format import OnBadRows, RatingsFormat, RatingsText
from recsys.data.ratings_file.read import read_ratings
from recsys.errors import DataError

LARGEST_MEMBER = 4 * 2**30  # bytes; the largest real one, ratings.csv of ml-32m, has 0.9 GB
LARGEST_RATIO = 100  # unpacked to packed; MovieLens text packs to about a fifth


class Tables(NamedTuple):
    """What an archive holds: the frames, and how many bad rating rows were left out."""

    ratings: pd.DataFrame
    items: pd.DataFrame
    dropped: int
    users: pd.DataFrame | None = None


def read_tabs(archive: Path, folder: str, scale: tuple[float, float], on_bad_rows: OnBadRows) -> Tables:
    """ml-100k: u.data with tabs; u.item with | between 24 fields and latin-1 letters; u.genre; u.user."""
    with _open(archive) as file:
        form = RatingsFormat(separator="\t")
        ratings, dropped = _ratings(file, f"{folder}/u.data", form, scale, on_bad_rows)
        items = _decode(_read(file, f"{folder}/u.item"))
        genres = _decode(_read(file, f"{folder}/u.genre"))
        users = _users(file, f"{folder}/u.user", "|", ["user", "age", "gender", "occupation"])
    genre_names = [line.split("|")[0] for line in _lines(genres) if "|" in line]
    rows = []
    for number, line in enumerate(_lines(items), 1):
        fields = line.split("|")
        if len(fields) != 5 + len(genre_names):
            raise DataError(f"{archive.name}: {folder}/u.item line {number}: {len(fields)} fields")
        flags = zip(genre_names, fields[5:], strict=True)
        rows.append((fields[0], fields[1], "|".join(genre for genre, flag in flags if flag == "1")))
    return Tables(ratings, _items(rows, f"{archive.name}: {folder}/u.item"), dropped, users)


def read_colons(archive: Path, folder: str, scale: tuple[float, float], on_bad_rows: OnBadRows) -> Tables:
    """ml-1m and ml-10m: :: between fields; movies.dat is latin-1 in the first and UTF-8 in the second.

    Only the first has a users.dat; its ages are the lowest of a range, its occupations numbers.
    """
    with _open(archive) as file:
        form = RatingsFormat(separator="::")
        ratings, dropped = _ratings(file, f"{folder}/ratings.dat", form, scale, on_bad_rows)
        items = _decode(_read(file, f"{folder}/movies.dat"))
        users = _users(file, f"{folder}/users.dat", "::", ["user", "gender", "age", "occupation"])
    rows = [line.split("::") for line in _lines(items)]
    return Tables(ratings, _items(rows, f"{archive.name}: {folder}/movies.dat"), dropped, users)


def read_csv(archive: Path, folder: str, scale: tuple[float, float], on_bad_rows: OnBadRows) -> Tables:
    """ml-20m, ml-25m, ml-32m, ml-latest and ml-latest-small: comma-separated, with header, UTF-8."""
    form = RatingsFormat(
        separator=",", columns=("userId", "movieId", "rating", "timestamp"), header=True, quoted=True
    )
    with _open(archive) as file:
        ratings, dropped = _ratings(file, f"{folder}/ratings.csv", form, scale, on_bad_rows)
        items = _decode(_read(file, f"{folder}/movies.csv"))
    rows = list(csv.reader(io.StringIO(items, newline="")))[1:]
    return Tables(ratings, _items(rows, f"{archive.name}: {folder}/movies.csv", header=1), dropped)


def year_of(title: str) -> int | None:
    """The year at the end of a title: 1995 of "Heat (1995)" and of "Hunted, The (1995) (V)"."""
    found = re.search(r"\((\d{4})(?:[-\u2013]\d{0,4})?\)(?:\s*\([A-Za-z]+\))?$", title)
    return int(found[1]) if found else None


def _items(rows: list, where: str, header: int = 0) -> pd.DataFrame:
    """A Items frame from (id, title, genres) rows."""
    ids, titles, genres = [], [], []
    for number, row in enumerate(rows, 1 + header):
        if len(row) != 3 or not row[0].strip().isdecimal():
            raise DataError(f"{where} line {number}: id, title and genres expected, found {row!r:.80}")
        ids.append(int(row[0]))
        titles.append(row[1].strip())
        genres.append("" if row[2] == "(no genres listed)" else row[2].strip())
    years = pd.array([year_of(title) for title in titles], dtype="Int32")
    return pd.DataFrame({"item": ids, "title": titles, "year": years, "genres": genres})


def _users(file: zipfile.ZipFile, member: str, separator: str, columns: list[str]) -> pd.DataFrame | None:
    """A People frame from lines of id, `columns` and a zip code; None where the archive has none."""
    if member not in file.namelist():
        return None
    rows = []
    for number, line in enumerate(_lines(_decode(_read(file, member))), 1):
        fields = line.split(separator)
        if len(fields) != len(columns) + 1 or not fields[0].isdecimal():
            raise DataError(f"{file.filename}: {member} line {number}: {len(columns) + 1} fields expected")
        rows.append((int(fields[0]), *fields[1:-1]))
    return pd.DataFrame(rows, columns=columns)


def _open(archive: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(archive)
    except zipfile.BadZipFile:
        raise DataError(f"{archive}: not a zip archive. Remove the file and it is fetched again") from None


def _ratings(
    file: zipfile.ZipFile,
    member: str,
    form: RatingsFormat,
    scale: tuple[float, float],
    on_bad_rows: OnBadRows,
) -> tuple[pd.DataFrame, int]:
    """One member's rating rows, read as they are unpacked."""
    info = _member(file, member)
    text = RatingsText(f"{Path(str(file.filename)).name}: {member}", info.file_size, lambda: file.open(info))
    with _damage_named(file, member):
        return read_ratings(text, form, scale, on_bad_rows)


def _read(file: zipfile.ZipFile, member: str) -> bytes:
    """One member's bytes."""
    info = _member(file, member)
    with _damage_named(file, member):
        return file.read(info)


def _member(file: zipfile.ZipFile, member: str) -> zipfile.ZipInfo:
    """A member that is there and whose size is a sane one."""
    try:
        info = file.getinfo(member)
    except KeyError:
        held = ", ".join(file.namelist()[:8])
        raise DataError(f"{file.filename}: holds no {member} (it holds {held})") from None
    if info.file_size > min(LARGEST_MEMBER, LARGEST_RATIO * (info.compress_size + 1000)):
        raise DataError(
            f"{file.filename}: {member} claims to unpack {info.compress_size} bytes to {info.file_size}"
        )
    return info


@contextmanager
def _damage_named(file: zipfile.ZipFile, member: str) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as problem:
        raise DataError(
            f"{file.filename}: {member} is damaged ({problem}). Remove the file and it is fetched again"
        ) from None


def _lines(text: str) -> list[str]:
    # Not splitlines(), which also breaks at letters such as \x85 that a title may hold.
    return text.removesuffix("\n").split("\n")


def _decode(data: bytes) -> str:
    """UTF-8 where the bytes are that, latin-1 otherwise; newlines as \\n."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return text.replace("\r\n", "\n")
