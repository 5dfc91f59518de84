"""Rating rows one after another: slow, and exact about the row that is not sound: file, line and value."""

import csv
import io
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from recsys.data.ratings_file.format import COLUMNS, OnBadRows, RatingsFormat, RatingsText
from recsys.errors import DataError

BLANKS = " \t\r\n\f\v"  # around a number


def read_rows(
    text: RatingsText,
    form: RatingsFormat,
    header: list[str] | None,
    scale: tuple[float, float],
    on_bad_rows: OnBadRows,
) -> tuple[pd.DataFrame, int]:
    """The sound rows as a frame, and how many were dropped; arguments as of `ratings_file.read_ratings`.

    Raises:
        DataError: at the first bad row, unless those are dropped; names file, line and value.
    """
    names = form.names
    places = [header.index(column) for column in names] if header else list(range(len(names)))
    width = len(header) if header else len(names)
    parse_id: Callable[[str], int | str] = _text if form.text_ids else int
    first_line: dict[tuple[int | str, int | str], int] = {}
    rows: list[tuple[int | str, int | str, float, int]] = []
    dropped = 0
    for line, fields in _lines(text, form):
        if header and line == 1:
            continue
        try:
            row = _parse_row(fields, places, width, names, parse_id, scale)
            if (pair := row[:2]) in first_line:
                raise ValueError(
                    f"user {pair[0]} has rated item {pair[1]} before, in line {first_line[pair]}"
                )
        except ValueError as problem:
            if on_bad_rows == "error":
                raise DataError(
                    f"{text.name} line {line}: {problem}. data.on_bad_rows=drop leaves such rows out"
                ) from None
            dropped += 1
            continue
        first_line[pair] = line
        rows.append(row)
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return frame.astype({"rating": np.float32, "timestamp": np.int64}), dropped


def _lines(text: RatingsText, form: RatingsFormat) -> Iterator[tuple[int, list[str]]]:
    with text.open() as file:
        data = form.delimited(file.read())
    reader = csv.reader(
        io.StringIO(data.decode("utf-8-sig", errors="replace"), newline=""),
        delimiter=form.delimiter,
        quoting=csv.QUOTE_MINIMAL if form.quoted else csv.QUOTE_NONE,
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
        raise DataError(f"{text.name} line {reader.line_num}: {problem}") from None


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
    parsers: list[Callable[[str], Any]] = [parse_id, parse_id, float, int]
    values = [
        fields[place].strip(None if parse is _text else BLANKS)
        for place, parse in zip(places, parsers, strict=False)
    ]
    for column, value in zip(names, values, strict=True):
        if not value:
            raise ValueError(f"{column} is missing")
        if "\ufffd" in value:  # what decoding put in place of bytes it could not read
            raise ValueError(f"{column} {value!r} is not UTF-8 text")
    parsed: list = []
    for column, value, parse in zip(names, values, parsers, strict=False):
        try:
            # Python reads more as a number than a data file means: 1_000, digits of any script, odd blanks.
            if parse is not _text and ("_" in value or not (value.isascii() and value.isprintable())):
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
