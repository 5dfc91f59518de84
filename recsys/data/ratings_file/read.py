"""Read ratings from delimited text."""

import dataclasses
import logging
import re

import pandas as pd

from recsys.data.ratings_file.fast import read_columns
from recsys.data.ratings_file.format import OnBadRows, RatingsFormat, TextSource
from recsys.data.ratings_file.integer_ids import to_integers_if_possible
from recsys.data.ratings_file.lines import split_fields
from recsys.data.ratings_file.strict import read_rows
from recsys.errors import DataError, listed

MAX_HEADER = 100_000  # bytes
SEPARATORS = (",", "\t", ";", "|")  # tried in this order if the separator is not known

log = logging.getLogger(__name__)


def read_ratings(
    text: TextSource, fmt: RatingsFormat, scale: tuple[float, float], on_bad_rows: OnBadRows = "error"
) -> tuple[pd.DataFrame, int]:
    """Read all ratings of a text.

    Args:
        text: the text to read.
        fmt: its format.
        scale: the lowest and the highest possible rating.
        on_bad_rows: "error" stops at the first bad row; "drop" skips and counts bad rows. A row is bad if a
            value is missing or has the wrong type, if the rating is off the scale, or if an earlier row has
            the same user and item.

    Returns:
        A table with the columns user, item, rating, timestamp (0 if unknown), and the number of dropped rows.

    Raises:
        DataError: there are no rows, a column is missing, or a row is bad; with file, line and value.
    """
    header = read_header(text, fmt) if fmt.header else None
    if header is not None:
        fmt = match_columns(f"{text.name} line 1", fmt, header)
    table, dropped = read_columns(text, fmt, header, scale), 0
    if table is None:
        table, dropped = read_rows(text, fmt, header, scale, on_bad_rows)
        if fmt.text_ids:
            for column in ("user", "item"):
                table[column] = to_integers_if_possible(table[column])
    check_rows(table, dropped, text.name)
    return table, dropped


def check_rows(rows: pd.DataFrame, dropped: int, name: str) -> None:
    """Check that a file has valid rows, and warn of those that were dropped.

    Args:
        rows: the valid rows.
        dropped: the number of bad rows.
        name: of the file.

    Raises:
        DataError: there are no valid rows.
    """
    if rows.empty:
        reason = f"; all {dropped} rows are bad, data.on_bad_rows=error names the first" if dropped else ""
        raise DataError(f"{name}: holds no ratings{reason}")
    if dropped:
        log.warning("%s: %d bad rows dropped (data.on_bad_rows=drop)", name, dropped)


def read_header(text: TextSource, fmt: RatingsFormat) -> list[str]:
    """Return the names in the first line.

    Raises:
        DataError: the line cannot be split into fields.
    """
    return _split_header(text, _first_line(text), fmt)


def with_separator(text: TextSource, fmt: RatingsFormat, column: str) -> RatingsFormat:
    """Return the format with the first of SEPARATORS with which the header has a column; with "," if none has it.

    Raises:
        DataError: the header cannot be split into fields.
    """
    line = _first_line(text)
    candidates = [dataclasses.replace(fmt, separator=separator) for separator in SEPARATORS]
    return next((one for one in candidates if column in _split_header(text, line, one)), candidates[0])


def match_columns(place: str, fmt: RatingsFormat, header: list[str]) -> RatingsFormat:
    """Return the format with the name that the item column has in a file.

    Args:
        place: the file, or its first line, for error messages.
        fmt: the format of the file.
        header: the names of its columns.

    Raises:
        DataError: a column is missing, or two have the same name.
    """
    user, item, rating, timestamp = fmt.columns
    item_names = (item, *(name for name in fmt.item_names if name != item))
    found = next((name for name in item_names if name in header), item)
    fmt = dataclasses.replace(fmt, columns=(user, found, rating, timestamp))
    for name in fmt.names:
        if name not in header:
            expected = item_names if name == found else (name,)
            raise DataError(
                f"{place}: no column {' or '.join(map(repr, expected))}; the file has {listed(header) or 'none'}"
                + (f" (separator {fmt.separator!r})" if fmt.separator else "")
                + fmt.column_advice
            )
    for name in fmt.names:
        if (count := header.count(name)) > 1:
            raise DataError(f"{place}: {count} columns are called {name!r}; names must be unique")
    return fmt


def _first_line(text: TextSource) -> str:
    with text.open() as file:
        start = file.read(MAX_HEADER + 1)  # a binary file may have no line ends
    line = re.split(rb"[\r\n]", start, maxsplit=1)[0]
    if len(line) > MAX_HEADER:
        raise DataError(
            f"{text.name} line 1: longer than {MAX_HEADER:,} bytes; not text with a header, or too many columns"
        )
    return line.decode("utf-8-sig", errors="replace")


def _split_header(text: TextSource, line: str, fmt: RatingsFormat) -> list[str]:
    try:
        return split_fields(line, fmt.delimiter, fmt.quoted)
    except ValueError as problem:
        raise DataError(f"{text.name} line 1: {problem}") from None
