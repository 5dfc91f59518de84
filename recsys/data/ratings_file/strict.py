"""Row-by-row reader: slow, but names file, line and value of a bad row, and can drop bad rows."""

import csv
import io
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from recsys.data.ratings_file.format import COLUMNS, OnBadRows, RatingsFormat, TextSource
from recsys.errors import DataError

SPACES = " \t\r\n\f\v"  # allowed around a number


def read_rows(
    text: TextSource,
    fmt: RatingsFormat,
    header: list[str] | None,
    scale: tuple[float, float],
    on_bad_rows: OnBadRows,
) -> tuple[pd.DataFrame, int]:
    """Read all valid rows.

    Args:
        text: the text to read.
        fmt: its format.
        header: the names in the first line; None if the text has no header.
        scale: the lowest and the highest possible rating.
        on_bad_rows: "error" stops at the first bad row; "drop" skips and counts bad rows.

    Returns:
        A table with COLUMNS, and the number of dropped rows.

    Raises:
        DataError: a row is bad and on_bad_rows is "error"; with file, line and value.
    """
    names = fmt.names
    positions = [header.index(column) for column in names] if header else list(range(len(names)))
    width = len(header) if header else len(names)
    parse_id: Callable[[str], int | str] = _text if fmt.text_ids else int
    first_line: dict[tuple[int | str, int | str], int] = {}
    rows: list[tuple[int | str, int | str, float, int]] = []
    dropped = 0
    for line, fields in _read_lines(text, fmt):
        if header and line == 1:
            continue
        try:
            row = _parse_row(fields, positions, width, names, parse_id, scale)
            if (pair := row[:2]) in first_line:
                raise ValueError(
                    f"user {pair[0]} has rated item {pair[1]} before, in line {first_line[pair]}"
                )
        except ValueError as problem:
            if on_bad_rows == "error":
                raise DataError(
                    f"{text.name} line {line}: {problem}. data.on_bad_rows=drop skips such rows"
                ) from None
            dropped += 1
            continue
        first_line[pair] = line
        rows.append(row)
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.astype({"rating": np.float32, "timestamp": np.int64}), dropped


def _read_lines(text: TextSource, fmt: RatingsFormat) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and fields of every line; blank lines at the end of the text are ignored."""
    with text.open() as file:
        data = fmt.delimited(file.read())
    reader = csv.reader(
        io.StringIO(data.decode("utf-8-sig", errors="replace"), newline=""),
        delimiter=fmt.delimiter,
        quoting=csv.QUOTE_MINIMAL if fmt.quoted else csv.QUOTE_NONE,
    )
    blank: list[int] = []  # blank lines are bad rows if another row follows
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
    positions: list[int],
    width: int,
    names: list[str],
    parse_id: Callable[[str], int | str],
    scale: tuple[float, float],
) -> tuple[int | str, int | str, float, int]:
    """Return user, item, rating and timestamp of a line.

    Raises:
        ValueError: the row is bad; the message names column and value.
    """
    if len(fields) != width:
        raise ValueError(f"{width} fields expected, {len(fields)} found ({'|'.join(fields)[:60]!r})")
    parsers: list[Callable[[str], Any]] = [parse_id, parse_id, float, int]
    values = [
        fields[position].strip(None if parse is _text else SPACES)
        for position, parse in zip(positions, parsers, strict=False)
    ]
    for column, value in zip(names, values, strict=True):
        if not value:
            raise ValueError(f"{column} is missing")
        if "\ufffd" in value:  # the replacement for bytes that cannot be decoded
            raise ValueError(f"{column} {value!r} is not UTF-8 text")
    parsed: list = []
    for column, value, parse in zip(names, values, parsers, strict=False):
        try:
            # Python accepts more than the columnar reader: 1_000, non-ASCII digits and unusual spaces.
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
