"""Rating rows out of delimited text: fast where every row is sound, exact about the row that is not."""

import csv
import logging
import re

import pandas as pd
import pyarrow as pa

from recsys.data.ratings_file.fast import plain_numbers, read_blocks
from recsys.data.ratings_file.format import OnBadRows, RatingsFormat, RatingsText
from recsys.data.ratings_file.strict import read_rows
from recsys.errors import DataError

log = logging.getLogger(__name__)


def read_ratings(
    text: RatingsText, form: RatingsFormat, scale: tuple[float, float], on_bad_rows: OnBadRows = "error"
) -> tuple[pd.DataFrame, int]:
    """Parse rating rows.

    Args:
        text: what to read.
        form: how the rows stand in it.
        scale: the lowest and the highest rating possible.
        on_bad_rows: "error" stops at the first bad row; "drop" leaves bad rows out and counts them. Bad is a
            row with a missing or non-numeric value, a rating off the scale, or a pair that came before.

    Returns:
        A frame with the columns user, item, rating, timestamp (0: unknown), and how many rows were dropped.

    Raises:
        DataError: no rows, a missing column, or a bad row; names file, line and value.
    """
    header = _read_header(text, form) if form.header else None
    frame, dropped = read_blocks(text, form, header, scale), 0
    if frame is None:
        frame, dropped = read_rows(text, form, header, scale, on_bad_rows)
        if form.text_ids:
            for column in ("user", "item"):
                frame[column] = _as_numbers_if_all_are(frame[column])
    if frame.empty:
        raise DataError(f"{text.name}: holds no ratings")
    if dropped:
        log.warning("%s: %d bad rows dropped (data.on_bad_rows=drop)", text.name, dropped)
    return frame, dropped


def _read_header(text: RatingsText, form: RatingsFormat) -> list[str]:
    with text.open() as file:
        start = file.read(100_000)  # csv refuses fields longer than that, as a file that is no text may have
    line = re.split(rb"[\r\n]", start, maxsplit=1)[0].decode("utf-8-sig", errors="replace")
    header = next(csv.reader([line], delimiter=form.delimiter), [])
    missing = [column for column in form.names if column not in header]
    if missing:
        raise DataError(
            f"{text.name} line 1: no column {missing[0]!r}; the file has "
            f"{', '.join(map(repr, header)) or 'none'} (separator {form.separator!r}). Name its columns with "
            "data.user, data.item, data.rating, data.timestamp (null: none) and data.separator"
        )
    if twice := [column for column in form.names if header.count(column) > 1]:
        raise DataError(f"{text.name} line 1: {header.count(twice[0])} columns are called {twice[0]!r}")
    return header


def _as_numbers_if_all_are(ids: pd.Series) -> pd.Series:
    numbers = plain_numbers(pa.array(ids.astype(str), pa.string()))
    return ids if numbers is None else pd.Series(numbers)
