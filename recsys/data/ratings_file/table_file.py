"""Reader of a table of ratings or interactions in any format; several files are joined."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from recsys.data.ratings_file.duplicates import Duplicates, combine
from recsys.data.ratings_file.file_kind import kind_of, text_source
from recsys.data.ratings_file.format import OnBadRows, RatingsFormat
from recsys.data.ratings_file.parquet import parquet_columns, read_parquet
from recsys.data.ratings_file.read import check_rows, match_columns, read_header, read_ratings, with_separator
from recsys.data.ratings_file.times import MICROSECONDS, with_exact_times
from recsys.errors import DataError, os_error_as_data_error, shortened

log = logging.getLogger(__name__)


class Content(NamedTuple):
    """The content of a file.

    Attributes:
        rows: columns user, item, rating, timestamp (microseconds since 1970, 0 if unknown).
        item_name: the name of the item column.
        dropped: the number of bad rows that were skipped.
        name: of the file, for error messages.
    """

    rows: pd.DataFrame
    item_name: str
    dropped: int
    name: str


def read_file(
    path: Path, name: str, fmt: RatingsFormat, scale: tuple[float, float], on_bad_rows: OnBadRows
) -> Content:
    """Read all valid rows of a file: text, the same compressed with gzip, or Parquet.

    Args:
        path: the file.
        name: the path as the user has given it, for error messages.
        fmt: its format; an empty separator is found in the header.
        scale: the lowest and the highest possible rating.
        on_bad_rows: "error" stops at a bad row; "drop" skips and counts bad rows.

    Raises:
        DataError: the file cannot be read, a column is missing, or a row is bad.
    """
    with os_error_as_data_error(f"data.path={name}", "; check data.path"):
        kind = kind_of(path)
        if kind == "parquet":
            fmt = match_columns(name, fmt, parquet_columns(path))
            rows, dropped = read_parquet(path, fmt, scale, on_bad_rows)
            check_rows(rows, dropped, name)
        else:
            text = text_source(path, name, kind)
            if not fmt.separator:
                fmt = with_separator(text, fmt, column=fmt.columns[0])
            fmt = match_columns(f"{text.name} line 1", fmt, read_header(text, fmt))
            rows, dropped = read_ratings(text, fmt, scale, on_bad_rows)
    return Content(with_exact_times(rows, name), fmt.columns[1], dropped, name)


def join(
    contents: Sequence[Content], duplicates: Duplicates, advice: str
) -> tuple[pd.DataFrame, tuple[int, ...]]:
    """Return the rows of all files, without repeated ones and with times in seconds, and how many are from each file.

    Args:
        contents: those of the files, in order.
        duplicates: see `combine`.
        advice: end of the error message for a repeated row.

    Raises:
        DataError: with duplicates="error", two files have a row with the same user and item.
    """
    if len(contents) == 1:
        rows = combine(contents[0].rows, duplicates)
        lengths: tuple[int, ...] = (len(rows),)
    else:
        together = _concatenated(contents, duplicates, advice)
        rows = combine(together, duplicates)
        if dropped := len(together) - len(rows):
            log.info("data.path: %d of %d rows repeat user and item", dropped, len(together))
        lengths = tuple(np.bincount(rows.pop("part"), minlength=len(contents)).tolist())
    rows["timestamp"] //= MICROSECONDS
    return rows, lengths


def _concatenated(contents: Sequence[Content], duplicates: Duplicates, advice: str) -> pd.DataFrame:
    """Return the rows of all files, with the number of the file in the column part; see `join`."""
    tables = [content.rows.assign(part=part) for part, content in enumerate(contents)]
    for side in ("user", "item"):
        if len({table[side].dtype.kind in "iu" for table in tables}) > 1:  # all ids become text
            tables = [table.assign(**{side: table[side].astype(str).astype(object)}) for table in tables]
    rows = pd.concat(tables, ignore_index=True)
    if duplicates == "error":
        repeated = rows[rows.duplicated(["user", "item"], keep=False)]
        if len(repeated):
            user, item = repeated["user"].iloc[0], repeated["item"].iloc[0]
            found = repeated[(repeated["user"] == user) & (repeated["item"] == item)]["part"].iloc[:2]
            names = " and ".join(contents[part].name for part in found)
            pair = f"user {shortened(user, quoted=False)} and item {shortened(item, quoted=False)}"
            raise DataError(f"data.path: {pair} are in {names}{advice}")
    return rows
