"""A new user's ratings or interactions: a CSV file with an item column (raw ids or titles) and the column rating."""

from collections.abc import Callable
from pathlib import Path

from recsys.data.ratings_file.numbers import parse_number
from recsys.data.sources.table import ITEM_NAMES
from recsys.errors import DataError, UnknownIdError, listed, shortened
from recsys.inference.csv_rows import csv_rows


def read_ratings_csv(
    path: Path, to_index: Callable[[str], int], scale: tuple[float, float] | None, item_column: str = "item"
) -> dict[int, float]:
    """Return the ratings of a file by item index, in the file's order; empty if there are none.

    Args:
        path: UTF-8 text with a header, in a file or a pipe. The item column has the name that it has in the data, or is
            called item, movie, movieId or title, the first of these that exists; further columns are ignored.
        to_index: returns the item index of a raw id or title; raises UnknownIdError.
        scale: the lowest and the highest rating; None: rows are interactions, which have the rating 1 and no column for
            it, and may repeat.
        item_column: the name of the item column in the data of the run.

    Raises:
        DataError: the file cannot be read, or a line is wrong; names file, line and value.
    """
    rows = csv_rows(path, "ratings")
    if (first := next(rows, None)) is None:  # an empty file is a user without ratings
        return {}
    header = first[1]
    item_at, rating_at = _find_columns(header, path, item_column, scale is not None)
    ratings: dict[int, float] = {}
    lines: dict[int, int] = {}  # of each item, to report duplicates
    for line, fields in rows:
        if len(fields) != len(header):
            raise DataError(
                f"{path} line {line}: {len(header)} fields expected, {len(fields)} found "
                f'({shortened(",".join(fields))}); quote a title that contains a comma: "Postino, Il",4'
            )
        item = fields[item_at]
        try:
            index = to_index(item)
            rating = 1.0 if scale is None else _parse_rating(fields[rating_at], scale)
        except (UnknownIdError, ValueError) as error:
            raise DataError(f"{path} line {line}: {error}") from None
        if index in ratings and scale is not None:
            raise DataError(
                f"{path} line {line}: item {shortened(item)} is rated in line {lines[index]} already; keep one"
            )
        ratings[index], lines[index] = rating, line
    return ratings


def _find_columns(header: list[str], path: Path, item_column: str, has_ratings: bool) -> tuple[int, int]:
    """Return the positions of the item column, and of the rating column if there are ratings, otherwise 0."""
    names = tuple(dict.fromkeys((item_column, *ITEM_NAMES)))
    item = next((name for name in names if name in header), None)
    if item is None or (has_ratings and "rating" not in header):
        missing = f"item column ({', '.join(names)})" if item is None else "column 'rating'"
        expected = f"{item_column},rating" if has_ratings else item_column
        raise DataError(
            f"{path} line 1: no {missing}; the file has {listed(header)}, the expected header is {expected}"
        )
    return header.index(item), header.index("rating") if has_ratings else 0


def _parse_rating(text: str, scale: tuple[float, float]) -> float:
    """Return a rating.

    Raises:
        ValueError: the text is not a number, or the rating is off the scale.
    """
    try:
        value = parse_number(text)
    except ValueError as problem:
        raise ValueError(f"rating {problem}") from None
    if not scale[0] <= value <= scale[1]:
        given = shortened(text, quoted=False)
        raise ValueError(f"rating {given} must be between {scale[0]:g} and {scale[1]:g}")
    return value
