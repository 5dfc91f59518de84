"""Times of ratings: whole numbers since 1970 in any unit, or dates in ISO 8601 notation.

Readers return numbers as they are in the file (int64), and dates as datetime64[us].
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute

from recsys.data.ratings_file.numbers import parse_integer
from recsys.errors import DataError, shortened

# The unit of a number follows from its size: 10^11 seconds after 1970 is the year 5138, 10^11 milliseconds is 1973.
MAX_SECONDS = 10**11
UNITS = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}
MICROSECONDS = 10**6  # in a second
DATES = np.dtype("datetime64[us]")


class Times(NamedTuple):
    """Times of some rows.

    Attributes:
        values: int64 (n,); microseconds since 1970, or numbers as they are in the file.
        are_dates: whether they were dates in the file.
    """

    values: NDArray[np.int64]
    are_dates: bool


def parse_times(texts: pa.ChunkedArray) -> Times:
    """Parse a column of texts.

    Raises:
        ValueError: a text is neither a whole number nor a date, or there are both; pa.ArrowInvalid is one, too.
    """
    texts = compute.utf8_trim_whitespace(texts)
    if compute.any(
        compute.match_substring(texts, "0x", ignore_case=True)
    ).as_py():  # pyarrow parses 0x1F as 31
        raise pa.ArrowInvalid("a hexadecimal number")
    try:
        return Times(texts.cast(pa.int64()).to_numpy(), are_dates=False)
    except pa.ArrowInvalid:
        if compute.any(compute.match_substring_regex(texts, r"^[+-]?\d+$")).as_py():
            raise
        return Times(_microseconds(texts.to_pandas()), are_dates=True)


def parse_time(text: str) -> tuple[int, bool]:
    """Return a time, and whether it was a date; see `parse_times`.

    Raises:
        ValueError: it is neither a whole number nor a date.
    """
    try:
        return parse_integer(text), False
    except ValueError:
        if text.lstrip("+-").isdecimal():  # more than 64 bits
            raise
    try:
        return int(_microseconds(pd.Series([text.strip()], dtype=object))[0]), True
    except ValueError:
        raise ValueError(
            f"{shortened(text)} is neither a whole number nor a date such as 2026-11-27 or 2026-11-27T09:30:00Z"
        ) from None


def with_exact_times(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return rows with times in microseconds; the unit of numbers follows from the largest one.

    Rows of the same second are put in the order of their times, because times become whole seconds later.

    Args:
        rows: with a column timestamp (0 if unknown), none negative.
        name: of the file, for error messages.

    Raises:
        DataError: the numbers have several units.
    """
    times = rows["timestamp"].to_numpy()
    exact = times.astype(np.int64) if times.dtype == DATES else _to_microseconds(times, name)
    rows["timestamp"] = exact
    if not (exact % MICROSECONDS).any():
        return rows
    order = np.empty(len(rows), np.int64)
    order[np.argsort(exact // MICROSECONDS, kind="stable")] = np.argsort(exact, kind="stable")
    return rows.take(order).reset_index(drop=True)


def _to_microseconds(times: NDArray[np.int64], name: str) -> NDArray[np.int64]:
    largest = int(times.max(initial=0))
    unit, factor = next(
        ((unit, factor) for unit, factor in UNITS.items() if largest < MAX_SECONDS * factor),
        ("nanoseconds", UNITS["nanoseconds"]),
    )
    if factor > 1 and (smallest := int(times.min())) < MAX_SECONDS * factor // 10**4:
        raise DataError(
            f"{name}: times from {smallest} to {largest}: the largest is in {unit}, the smallest is not; use one unit "
            "in the whole column"
        )
    return times * (MICROSECONDS // factor) if factor <= MICROSECONDS else times // (factor // MICROSECONDS)


def _microseconds(dates: pd.Series) -> NDArray[np.int64]:
    """Return dates in ISO 8601 notation as microseconds since 1970; those without a time zone are in UTC.

    Raises:
        ValueError: a text is not a date.
    """
    if not dates.str.match(r"\d{4}-\d\d").all():  # pandas also parses words such as "now"
        raise ValueError("not a date")
    parsed = pd.to_datetime(dates, format="ISO8601", utc=True)
    return parsed.dt.as_unit("us").to_numpy(np.int64)
