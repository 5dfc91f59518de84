"""Rating rows out of delimited text: fast where every row is sound, exact about the row that is not.

A columnar parser reads the whole file at once. Only where it refuses something, or where a value cannot be
right, are the rows walked one by one to name file, line and value.
"""

import csv
import io
import logging
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import compute
from pyarrow import csv as arrow_csv

from recsys.errors import DataError

log = logging.getLogger(__name__)

OnBadRows = Literal["error", "drop"]
COLUMNS = ["user", "movie", "rating", "timestamp"]


@dataclass(frozen=True)
class RatingsFormat:
    """How rating rows stand in a text file.

    Attributes:
        separator: one character between fields.
        columns: the file's own names for user, movie, rating and (or None) timestamp, where it has a header;
            without a header the four stand in that order.
        header: whether the first line names the columns.
        text_ids: whether ids may be text; otherwise they are whole numbers.
        quoted: whether fields may stand in double quotes.
    """

    separator: str
    columns: tuple[str, str, str, str | None] = ("user", "movie", "rating", "timestamp")
    header: bool = False
    text_ids: bool = False
    quoted: bool = False


def read_ratings(
    data: bytes, name: str, form: RatingsFormat, scale: tuple[float, float], on_bad_rows: OnBadRows = "error"
) -> tuple[pd.DataFrame, int]:
    """Parse rating rows.

    Args:
        data: the file's bytes.
        name: the file's name, for messages.
        form: how the rows stand in it.
        scale: the lowest and the highest rating possible.
        on_bad_rows: "error" stops at the first bad row; "drop" leaves bad rows out and counts them. Bad is a
            row with a missing or non-numeric value, a rating off the scale, or a pair that came before.

    Returns:
        A frame with the columns user, movie, rating, timestamp (0: unknown), and how many rows were dropped.

    Raises:
        DataError: no rows, a missing column, or a bad row; names file, line and value.
    """
    header = _read_header(data, name, form) if form.header else None
    try:
        frame = _parse_whole(data, form)
        sound = _is_sound(frame, scale)
    except (pa.ArrowInvalid, pa.ArrowKeyError):
        sound = False
    dropped = 0
    if not sound:
        frame, dropped = _parse_rows(data, name, form, header, scale, on_bad_rows)
    if frame.empty:
        raise DataError(f"{name}: holds no ratings")
    if dropped:
        log.warning("%s: %d bad rows dropped (data.on_bad_rows=drop)", name, dropped)
    if form.text_ids:
        for column in ("user", "movie"):
            frame[column] = _as_numbers_if_all_are(frame[column])
    return frame, dropped


def _read_header(data: bytes, name: str, form: RatingsFormat) -> list[str]:
    start = data[:100_000]  # csv refuses fields longer than that, as a file that is no text may have
    line = re.split(rb"[\r\n]", start, maxsplit=1)[0].decode("utf-8-sig", errors="replace")
    header = next(csv.reader([line], delimiter=form.separator), [])
    missing = [column for column in form.columns if column and column not in header]
    if missing:
        raise DataError(
            f"{name} line 1: no column {missing[0]!r}; the file has {', '.join(map(repr, header)) or 'none'} "
            f"(separator {form.separator!r}). Name its columns with data.user, data.movie, data.rating, "
            "data.timestamp (null: none) and data.separator"
        )
    return header


def _parse_whole(data: bytes, form: RatingsFormat) -> pd.DataFrame:
    names = [column for column in form.columns if column]
    ids = pa.string() if form.text_ids else pa.int64()
    types = dict(zip(names, [ids, ids, pa.float32(), pa.int64()], strict=False))
    table = arrow_csv.read_csv(
        pa.BufferReader(data),
        read_options=arrow_csv.ReadOptions(column_names=None if form.header else names),
        parse_options=arrow_csv.ParseOptions(
            delimiter=form.separator, quote_char='"' if form.quoted else False, ignore_empty_lines=False
        ),
        convert_options=arrow_csv.ConvertOptions(column_types=types, include_columns=names),
    )
    if any(table[column].null_count for column in names):
        raise pa.ArrowInvalid("a value is missing")
    columns = {own: table[column] for own, column in zip(COLUMNS, names, strict=False)}
    if form.text_ids:
        for own in ("user", "movie"):
            columns[own] = compute.utf8_trim_whitespace(columns[own])
            if compute.any(compute.equal(columns[own], "")).as_py():
                raise pa.ArrowInvalid("an id is empty")
    columns = {own: column.to_numpy() for own, column in columns.items()}
    if len(names) == 3:
        columns["timestamp"] = np.zeros(len(table), dtype=np.int64)
    return pd.DataFrame(columns, copy=False)  # by itself pandas would copy all columns into blocks


def _is_sound(frame: pd.DataFrame, scale: tuple[float, float]) -> bool:
    rating = frame["rating"].to_numpy()
    on_scale = ((rating >= scale[0]) & (rating <= scale[1])).all()
    return bool(on_scale) and bool((frame["timestamp"] >= 0).all()) and not _has_duplicates(frame)


def _has_duplicates(frame: pd.DataFrame) -> bool:
    user, movie = frame["user"].to_numpy(), frame["movie"].to_numpy()
    # Most releases are sorted by user, then movie: strictly rising pairs need no hash table.
    rising = (user[1:] > user[:-1]) | ((user[1:] == user[:-1]) & (movie[1:] > movie[:-1]))
    return not rising.all() and bool(frame.duplicated(["user", "movie"]).any())


def _parse_rows(
    data: bytes,
    name: str,
    form: RatingsFormat,
    header: list[str] | None,
    scale: tuple[float, float],
    on_bad_rows: OnBadRows,
) -> tuple[pd.DataFrame, int]:
    """The slow way: one row after another, each bad one named."""
    names = [column for column in form.columns if column]
    places = [header.index(column) for column in names] if header else list(range(len(names)))
    width = len(header) if header else len(names)
    parse_id: Callable[[str], int | str] = _text if form.text_ids else int
    first_line: dict[tuple[int | str, int | str], int] = {}
    rows: list[tuple[int | str, int | str, float, int]] = []
    dropped = 0
    for line, fields in _lines(data, form, name):
        if header and line == 1:
            continue
        try:
            row = _parse_row(fields, places, width, names, parse_id, scale)
            if (pair := row[:2]) in first_line:
                raise ValueError(
                    f"user {pair[0]} has rated movie {pair[1]} before, in line {first_line[pair]}"
                )
        except ValueError as problem:
            if on_bad_rows == "error":
                raise DataError(
                    f"{name} line {line}: {problem}. data.on_bad_rows=drop leaves such rows out"
                ) from None
            dropped += 1
            continue
        first_line[pair] = line
        rows.append(row)
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return frame.astype({"rating": np.float32, "timestamp": np.int64}), dropped


def _lines(data: bytes, form: RatingsFormat, name: str) -> Iterator[tuple[int, list[str]]]:
    text = io.StringIO(data.decode("utf-8-sig", errors="replace"), newline="")
    reader = csv.reader(
        text, delimiter=form.separator, quoting=csv.QUOTE_MINIMAL if form.quoted else csv.QUOTE_NONE
    )
    blank: list[int] = []  # blank lines at the very end are no rows; others are bad ones
    try:
        for fields in reader:
            if not fields:
                blank.append(reader.line_num)
                continue
            yield from ((line, []) for line in blank)
            blank.clear()
            yield reader.line_num, fields
    except csv.Error as problem:
        raise DataError(f"{name} line {reader.line_num}: {problem}") from None


def _parse_row(
    fields: list[str],
    places: list[int],
    width: int,
    names: list[str],
    parse_id: Callable[[str], int | str],
    scale: tuple[float, float],
) -> tuple[int | str, int | str, float, int]:
    if len(fields) != width:
        raise ValueError(f"{width} fields expected, {len(fields)} found ({'|'.join(fields)[:60]!r})")
    values = [fields[place].strip() for place in places]
    for column, value in zip(names, values, strict=True):
        if not value:
            raise ValueError(f"{column} is missing")
        if "\ufffd" in value:  # what decoding put in place of bytes it could not read
            raise ValueError(f"{column} {value!r} is not UTF-8 text")
    parsers: list[Callable[[str], Any]] = [parse_id, parse_id, float, int]
    parsed: list = []
    for column, value, parse in zip(names, values, parsers, strict=False):
        try:
            if "_" in value and parse is not _text:  # Python reads 1_000 as a number; no data file means it
                raise ValueError
            parsed.append(parse(value))
        except ValueError:
            kind = "a number" if parse is float else "a whole number"
            raise ValueError(f"{column} {value!r} is not {kind}") from None
        if isinstance(parsed[-1], int) and abs(parsed[-1]) >= 2**63:
            raise ValueError(f"{column} {value!r} does not fit into 64 bits")
    rating = parsed[2]
    if not math.isfinite(rating) or not scale[0] <= rating <= scale[1]:
        raise ValueError(
            f"{names[2]} {values[2]!r} is off the scale {scale[0]:g} to {scale[1]:g} (data.scale)"
        )
    if len(parsed) == 4 and parsed[3] < 0:
        raise ValueError(f"{names[3]} {values[3]!r} is before 1970")
    return parsed[0], parsed[1], rating, parsed[3] if len(parsed) == 4 else 0


def _text(value: str) -> str:
    return value


def _as_numbers_if_all_are(ids: pd.Series) -> pd.Series:
    """Text ids as int64 where every one is the plain spelling of a whole number ("007" is not)."""
    try:
        numbers = pa.array(ids.astype(str)).cast(pa.int64())
    except pa.ArrowInvalid:
        return ids
    plain = compute.all(compute.equal(numbers.cast(pa.string()), pa.array(ids.astype(str)))).as_py()
    return pd.Series(numbers.to_numpy(zero_copy_only=False)) if plain else ids
