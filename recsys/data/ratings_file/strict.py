"""Row-by-row reader: slow, but names file, line and value of a bad row, and can drop bad rows."""

import math
import struct
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from recsys.data.ids import MAX_ID_LENGTH
from recsys.data.ratings_file.format import (
    COLUMNS,
    OnBadRows,
    RatingsFormat,
    TextSource,
)
from recsys.data.ratings_file.lines import lines_of, split_fields
from recsys.data.ratings_file.numbers import SPACES, parse_integer, parse_number
from recsys.errors import DataError, shortened


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
    scale = _rounded(scale[0]), _rounded(scale[1])
    positions = [header.index(column) for column in names] if header else list(range(len(names)))
    width = len(header) if header else len(names)
    parse_id: Callable[[str], int | str] = _parse_text if fmt.text_ids else parse_integer
    first_line: dict[tuple[int | str, int | str], int] = {}
    rows: list[tuple[int | str, int | str, float, int]] = []
    dropped = 0
    for line, content in _read_lines(text, fmt):
        if header and line == 1:
            continue
        if not content and on_bad_rows == "drop":  # there may be millions of blank lines
            dropped += 1
            continue
        try:
            fields = split_fields(content, fmt.delimiter, fmt.quoted)
            row = _parse_row(fields, positions, width, names, parse_id, scale)
            if (pair := row[:2]) in first_line:
                raise ValueError(
                    f"user {shortened(pair[0], quoted=False)} has rated item "
                    f"{shortened(pair[1], quoted=False)} before, in line {first_line[pair]}"
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


def _read_lines(text: TextSource, fmt: RatingsFormat) -> Iterator[tuple[int, str]]:
    """Yield the number and the content of every line; blank lines at the end of the text are ignored."""
    with text.open() as file:
        data = fmt.delimited(file.read())
    yielded = 0  # blank lines are bad rows if another row follows
    for number, line in enumerate(lines_of(data.decode("utf-8-sig", errors="replace")), 1):
        if line:
            yield from ((blank, "") for blank in range(yielded + 1, number))
            yield number, line
            yielded = number


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
        raise ValueError(f"{width} fields expected, {len(fields)} found ({shortened('|'.join(fields))})")
    parsers: list[Callable[[str], Any]] = [parse_id, parse_id, parse_number, parse_integer]
    values = [
        fields[position].strip(None if parse is _parse_text else SPACES)
        for position, parse in zip(positions, parsers, strict=False)
    ]
    for column, value in zip(names, values, strict=True):
        if not value:
            raise ValueError(f"{column} is missing")
        if "\ufffd" in value:  # the replacement for bytes that cannot be decoded
            raise ValueError(f"{column} {shortened(value)} is not UTF-8 text")
    parsed: list = []
    for column, value, parse in zip(names, values, parsers, strict=False):
        try:
            parsed.append(parse(value))
        except ValueError as problem:
            raise ValueError(f"{column} {problem}") from None
    rating = _rounded(parsed[2])
    if not math.isfinite(rating) or not scale[0] <= rating <= scale[1]:
        raise ValueError(
            f"{names[2]} {shortened(values[2])} is off the scale {scale[0]:g} to {scale[1]:g} (data.scale)"
        )
    if len(parsed) == 4 and parsed[3] < 0:
        raise ValueError(f"{names[3]} {shortened(values[3])} is before 1970")
    return parsed[0], parsed[1], rating, parsed[3] if len(parsed) == 4 else 0


def _rounded(value: float) -> float:
    """Return the nearest float32, as the columnar reader compares ratings with the scale."""
    try:
        return struct.unpack("f", struct.pack("f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)


def _parse_text(value: str) -> str:
    """Return a text id.

    Raises:
        ValueError: the id cannot be stored.
    """
    if "\0" in value:  # many programs ignore it at the end of a text: two users would become one
        raise ValueError(f"{shortened(value)} has a NUL character")
    if len(value) > MAX_ID_LENGTH:
        raise ValueError(f"{shortened(value)} is longer than {MAX_ID_LENGTH} characters")
    return value
