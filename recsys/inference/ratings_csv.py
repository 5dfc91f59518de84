"""A new user's ratings: a CSV file with an item column (raw ids or titles) and the column rating."""

import csv
import io
from collections.abc import Callable
from pathlib import Path

from recsys.data.sources.csv import ITEM_NAMES
from recsys.errors import DataError, UnknownIdError, os_error_as_data_error


def read_ratings_csv(
    path: Path, to_index: Callable[[str], int], scale: tuple[float, float]
) -> dict[int, float]:
    """Return the ratings of a file by item index, in the file's order; empty if there are none.

    Args:
        path: UTF-8 text with a header. The item column is called item, movie, movieId or title, the first of
            these that exists; further columns are ignored.
        to_index: returns the item index of a raw id or title; raises UnknownIdError.
        scale: the lowest and the highest rating.

    Raises:
        DataError: the file cannot be read, or a line is wrong; names file, line and value.
    """
    try:
        with os_error_as_data_error(f"ratings={path}", "; give the path of a CSV file"):
            text = path.expanduser().read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"ratings={path}: not UTF-8 text; save the file as UTF-8") from None
    reader = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True)
    if (header := next(reader, None)) is None:  # an empty file is a user without ratings
        return {}
    header = [name.strip() for name in header]
    item_column, rating_column = _find_columns(header, path)
    ratings: dict[int, float] = {}
    lines: dict[int, int] = {}  # of each item, to report duplicates
    try:
        for fields in reader:
            if not fields:
                continue
            line = reader.line_num
            if len(fields) != len(header):
                raise DataError(
                    f"{path} line {line}: {len(header)} fields expected, {len(fields)} found "
                    f'({",".join(fields)!r:.60}); quote a title that contains a comma: "Postino, Il",4'
                )
            item = fields[item_column].strip()
            try:
                index, rating = to_index(item), _parse_rating(fields[rating_column].strip(), scale)
            except (UnknownIdError, ValueError) as error:
                raise DataError(f"{path} line {line}: {error}") from None
            if index in ratings:
                raise DataError(
                    f"{path} line {line}: item {item!r} is rated in line {lines[index]} already; keep one"
                )
            ratings[index], lines[index] = rating, line
    except csv.Error as error:
        raise DataError(f"{path} line {reader.line_num}: {error}") from None
    return ratings


def _find_columns(header: list[str], path: Path) -> tuple[int, int]:
    """Return the positions of the item column and of the rating column."""
    item = next((name for name in ITEM_NAMES if name in header), None)
    if item is None or "rating" not in header:
        missing = f"item column ({', '.join(ITEM_NAMES)})" if item is None else "column 'rating'"
        raise DataError(
            f"{path} line 1: no {missing}; the file has {', '.join(map(repr, header))}, "
            "the expected header is item,rating"
        )
    return header.index(item), header.index("rating")


def _parse_rating(text: str, scale: tuple[float, float]) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"rating {text!r} is not a number") from None
    if not scale[0] <= value <= scale[1]:
        raise ValueError(f"rating {text} must be between {scale[0]:g} and {scale[1]:g}")
    return value
