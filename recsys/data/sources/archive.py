"""Readers of MovieLens archives, one per format.

Files are read inside the archive and never unpacked, so a malicious path in an archive has no effect.
"""

import lzma
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from recsys.data.ratings_file.file_kind import MAX_COMPRESSION_RATIO
from recsys.data.ratings_file.format import OnBadRows, RatingsFormat, TextSource
from recsys.data.ratings_file.lines import lines_of, split_fields
from recsys.data.ratings_file.numbers import parse_integer
from recsys.data.ratings_file.read import read_ratings
from recsys.errors import DataError, listed

# Raised by reading an archive that is damaged, or packed in a way that zipfile does not support.
DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, MemoryError)
MAX_MEMBER_SIZE = 4 * 2**30  # bytes; the largest real file, ratings.csv of ml-32m, has 0.9 GB


class Tables(NamedTuple):
    """The content of an archive.

    Attributes:
        ratings: columns user, item, rating, timestamp (0 if unknown).
        items: columns item, title ("Heat (1995)"), year (missing if unknown), genres ("Drama|War").
        dropped: the number of bad rating rows that were skipped.
        users: columns user, gender, age, occupation, all but user as text; None if the archive has no users.
    """

    ratings: pd.DataFrame
    items: pd.DataFrame
    dropped: int
    users: pd.DataFrame | None = None


def read_tabs(archive: Path, folder: str, scale: tuple[float, float], on_bad_rows: OnBadRows) -> Tables:
    """Read ml-100k: u.data with tabs; u.item (24 fields, latin-1), u.genre and u.user with "|"."""
    with _open(archive) as file:
        fmt = RatingsFormat(separator="\t")
        ratings, dropped = _ratings(file, f"{folder}/u.data", fmt, scale, on_bad_rows)
        items = _decode(read_member(file, f"{folder}/u.item"))
        genres = _decode(read_member(file, f"{folder}/u.genre"))
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
    """Read ml-1m and ml-10m: fields separated by "::"; movies.dat is latin-1 in ml-1m and UTF-8 in ml-10m.

    Only ml-1m has a users.dat. Its ages are the lowest of an age range, its occupations are numbers.
    """
    with _open(archive) as file:
        fmt = RatingsFormat(separator="::")
        ratings, dropped = _ratings(file, f"{folder}/ratings.dat", fmt, scale, on_bad_rows)
        items = _decode(read_member(file, f"{folder}/movies.dat"))
        users = _users(file, f"{folder}/users.dat", "::", ["user", "gender", "age", "occupation"])
    rows = [line.split("::") for line in _lines(items)]
    return Tables(ratings, _items(rows, f"{archive.name}: {folder}/movies.dat"), dropped, users)


def read_csv(archive: Path, folder: str, scale: tuple[float, float], on_bad_rows: OnBadRows) -> Tables:
    """Read ml-20m, ml-25m, ml-32m, ml-latest and ml-latest-small: CSV files with header, UTF-8."""
    fmt = RatingsFormat(
        separator=",", columns=("userId", "movieId", "rating", "timestamp"), header=True, quoted=True
    )
    with _open(archive) as file:
        ratings, dropped = _ratings(file, f"{folder}/ratings.csv", fmt, scale, on_bad_rows)
        items = _decode(read_member(file, f"{folder}/movies.csv"))
    where = f"{archive.name}: {folder}/movies.csv"
    rows = []
    for number, line in enumerate(lines_of(items), 1):
        try:
            rows.append(split_fields(line))
        except ValueError as problem:
            raise DataError(f"{where} line {number}: {problem}") from None
    return Tables(ratings, _items(rows[1:], where, header=1), dropped)


def year_of(title: str) -> int | None:
    """Return the year at the end of a title: 1995 for "Heat (1995)" and for "Hunted, The (1995) (V)"."""
    found = re.search(r"\((\d{4})(?:[-\u2013]\d{0,4})?\)(?:\s*\([A-Za-z]+\))?$", title)
    return int(found[1]) if found else None


def _items(rows: list, where: str, header: int = 0) -> pd.DataFrame:
    """Return the item table for rows of (id, title, genres).

    Args:
        rows: the fields of each line.
        where: archive and file, for error messages.
        header: the number of lines before the first row.
    """
    ids, titles, genres = [], [], []
    for number, row in enumerate(rows, 1 + header):
        if len(row) != 3 or not row[0].strip().isdecimal():
            raise DataError(f"{where} line {number}: id, title and genres expected, found {listed(row, 4)}")
        ids.append(_parse_id(row[0], f"{where} line {number}"))
        titles.append(row[1].strip())
        genres.append("" if row[2] == "(no genres listed)" else row[2].strip())
    _check_unique(ids, where, header)
    years = pd.array([year_of(title) for title in titles], dtype="Int32")
    return pd.DataFrame({"item": ids, "title": titles, "year": years, "genres": genres})


def _users(file: zipfile.ZipFile, member: str, separator: str, columns: list[str]) -> pd.DataFrame | None:
    """Return the user table of a file with `columns` and a zip code; None if the archive has no such file."""
    if member not in file.namelist():
        return None
    ids, rows, where = [], [], f"{Path(str(file.filename)).name}: {member}"
    for number, line in enumerate(_lines(_decode(read_member(file, member))), 1):
        fields = line.split(separator)
        if len(fields) != len(columns) + 1 or not fields[0].isdecimal():
            raise DataError(f"{where} line {number}: {len(columns) + 1} fields expected")
        ids.append(_parse_id(fields[0], f"{where} line {number}"))
        rows.append((ids[-1], *fields[1:-1]))
    _check_unique(ids, where)
    return pd.DataFrame(rows, columns=columns)


def _check_unique(ids: list[int], where: str, header: int = 0) -> None:
    """Check that each id of a table occurs once.

    Raises:
        DataError: one does not; names the lines.
    """
    lines: dict[int, int] = {}
    for number, id in enumerate(ids, 1 + header):
        if (first := lines.setdefault(id, number)) != number:
            raise DataError(f"{where} line {number}: id {id} occurs in line {first} already")


def _parse_id(text: str, where: str) -> int:
    try:
        return parse_integer(text)
    except ValueError as problem:
        raise DataError(f"{where}: id {problem}") from None


def _open(archive: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(archive)
    except (zipfile.BadZipFile, NotImplementedError):
        raise DataError(f"{archive}: not a zip archive. Delete the file to download it again") from None


def _ratings(
    file: zipfile.ZipFile,
    member: str,
    fmt: RatingsFormat,
    scale: tuple[float, float],
    on_bad_rows: OnBadRows,
) -> tuple[pd.DataFrame, int]:
    """Read the ratings of a file in an archive, and return them with the number of dropped rows."""
    info = checked_member(file, member)
    text = TextSource(f"{Path(str(file.filename)).name}: {member}", info.file_size, lambda: file.open(info))
    with _report_damage(file, member):
        return read_ratings(text, fmt, scale, on_bad_rows)


def read_member(file: zipfile.ZipFile, member: str) -> bytes:
    """Return the content of a file in an archive.

    Raises:
        DataError: the file is missing, refused (see `checked_member`) or damaged.
    """
    info = checked_member(file, member)
    with _report_damage(file, member):
        return file.read(info)


def checked_member(file: zipfile.ZipFile, member: str) -> zipfile.ZipInfo:
    """Return the entry of a file in an archive.

    Raises:
        DataError: there is no such file, its size is implausible (a zip bomb), or it is packed with bzip2 or LZMA,
            which zipfile unpacks without a limit, regardless of the claimed size.
    """
    try:
        info = file.getinfo(member)
    except KeyError:
        held = ", ".join(file.namelist()[:8])
        raise DataError(f"{file.filename}: holds no {member} (it holds {held})") from None
    if file.namelist().count(member) > 1:
        raise DataError(
            f"{file.filename}: holds {member} more than once. Delete the file to download it again"
        )
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(
            f"{file.filename}: {member} is packed with method {info.compress_type}, and only stored and deflated files "
            "are read. Delete the file to download it again"
        )
    compressed = min(info.compress_size, Path(str(file.filename)).stat().st_size)  # it may claim to be larger
    if info.file_size > min(MAX_MEMBER_SIZE, MAX_COMPRESSION_RATIO * (compressed + 1000)):
        raise DataError(
            f"{file.filename}: {member} claims to unpack {compressed} bytes to {info.file_size}, "
            "which no MovieLens archive does. Delete the file to download it again"
        )
    return info


@contextmanager
def _report_damage(file: zipfile.ZipFile, member: str) -> Iterator[None]:
    """Report errors of reading a damaged archive as DataError with the name of the file."""
    try:
        yield
    except (OSError, *DAMAGED) as problem:
        reason = str(problem) or type(problem).__name__
        raise DataError(
            f"{file.filename}: {member} is damaged ({reason}). Delete the file to download it again"
        ) from None


def _lines(text: str) -> list[str]:
    # Not splitlines(), which also splits at characters such as \x85 that a title may contain.
    return text.removesuffix("\n").split("\n")


def _decode(data: bytes) -> str:
    """Decode UTF-8, or latin-1 if the bytes are not valid UTF-8, and convert newlines to \\n."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return text.replace("\r\n", "\n")
