"""Row-by-row reader: slow, but names file, line and value of a bad row, and can drop bad rows."""

import math
import struct
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from recsys.data.ids import text_id_problem
from recsys.data.ratings_file.format import (
    COLUMNS,
    OnBadRows,
    RatingsFormat,
    TextSource,
)
from recsys.data.ratings_file.lines import lines_of, split_fields
from recsys.data.ratings_file.numbers import SPACES, parse_integer, parse_number
from recsys.data.ratings_file.times import DATES, parse_time
from recsys.errors import DataError, shortened

Row = tuple[int | str, int | str, float, int]  # user, item, rating, timestamp


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
    parse = _RowParser(fmt, header, (_rounded(scale[0]), _rounded(scale[1])))
    first_line: dict[tuple[int | str, int | str], int] = {}
    rows: list[Row] = []
    dropped = 0
    for line, content in _read_lines(text, fmt):
        if header and line == 1:
            continue
        if not content and on_bad_rows == "drop":  # there may be millions of blank lines
            dropped += 1
            continue
        try:
            row = parse(split_fields(content, fmt.delimiter, fmt.quoted))
            if not fmt.may_repeat and (pair := row[:2]) in first_line:
                had = "has rated" if "rating" in fmt.by_role else "has had"
                raise ValueError(
                    f"user {shortened(pair[0], quoted=False)} {had} item "
                    f"{shortened(pair[1], quoted=False)} before, in line {first_line[pair]}{fmt.repeat_advice}"
                )
        except ValueError as problem:
            if on_bad_rows == "error":
                raise DataError(
                    f"{text.name} line {line}: {problem}. data.on_bad_rows=drop skips such rows"
                ) from None
            dropped += 1
            continue
        if not fmt.may_repeat:
            first_line[pair] = line
        rows.append(row)
    table = pd.DataFrame(rows, columns=COLUMNS)
    times = table["timestamp"].to_numpy(np.int64)
    table["timestamp"] = times.view(DATES) if parse.has_dates else times
    return table.astype({"rating": np.float32}), dropped


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


class _RowParser:
    """Parses the fields of a line to user, item, rating (1 without a column) and timestamp (0 without a column).

    Args:
        fmt: the format of the text.
        header: the names in the first line; None if the text has no header.
        scale: the lowest and the highest possible rating, rounded to float32.
    """

    def __init__(self, fmt: RatingsFormat, header: list[str] | None, scale: tuple[float, float]) -> None:
        self.names, self.scale = fmt.by_role, scale
        order = header or fmt.names
        self.width = len(order)
        self.positions = {role: order.index(name) for role, name in self.names.items()}
        parse_id: Callable[[str], Any] = _parse_text if fmt.text_ids else parse_integer
        parse_timestamp = self._parse_time if fmt.text_ids else parse_integer
        self.parsers: dict[str, Callable[[str], Any]] = {
            "user": parse_id,
            "item": parse_id,
            "rating": parse_number,
            "timestamp": parse_timestamp,
        }
        self.has_dates: bool | None = None  # unknown before the first time

    def __call__(self, fields: list[str]) -> Row:
        """Return the row of a line.

        Raises:
            ValueError: the row is bad; the message names column and value.
        """
        if len(fields) != self.width:
            raise ValueError(
                f"{self.width} fields expected, {len(fields)} found ({shortened('|'.join(fields))})"
            )
        texts = {
            role: fields[position].strip(None if self.parsers[role] is _parse_text else SPACES)
            for role, position in self.positions.items()
        }
        for role, text in texts.items():
            if not text:
                raise ValueError(f"{self.names[role]} is missing")
            if "\ufffd" in text:  # the replacement for bytes that cannot be decoded
                raise ValueError(f"{self.names[role]} {shortened(text)} is not UTF-8 text")
        parsed: dict[str, Any] = {"rating": 1.0, "timestamp": 0}
        for role, text in texts.items():
            try:
                parsed[role] = self.parsers[role](text)
            except ValueError as problem:
                raise ValueError(f"{self.names[role]} {problem}") from None
        rating = _rounded(parsed["rating"])
        if "rating" in texts and not (math.isfinite(rating) and self.scale[0] <= rating <= self.scale[1]):
            low, high = self.scale
            raise ValueError(
                f"{self.names['rating']} {shortened(texts['rating'])} is off the scale {low:g} to {high:g} "
                "(data.scale)"
            )
        if parsed["timestamp"] < 0:
            raise ValueError(f"{self.names['timestamp']} {shortened(texts['timestamp'])} is before 1970")
        return parsed["user"], parsed["item"], rating, parsed["timestamp"]

    def _parse_time(self, text: str) -> int:
        time, is_date = parse_time(text)
        if self.has_dates is None:
            self.has_dates = is_date
        if is_date != self.has_dates:
            given, others = ("a date", "numbers") if is_date else ("a number", "dates")
            raise ValueError(f"{shortened(text)} is {given}, but the times before it are {others}")
        return time


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
    if (problem := text_id_problem(value)) is not None:
        raise ValueError(f"{shortened(value)} {problem}")
    return value
