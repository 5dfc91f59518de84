"""One person's ratings: a CSV file with the columns item and rating, a item by raw id or by title."""

import csv
import io
from collections.abc import Callable
from pathlib import Path

from recsys.errors import DataError, UnknownIdError

COLUMNS = ["item", "rating"]


def read_ratings_csv(
    path: Path, row_of: Callable[[str], int], scale: tuple[float, float]
) -> dict[int, float]:
    """Read a person's ratings.

    Args:
        path: the file; UTF-8, with a header, other columns are left alone.
        row_of: from what stands in the column item to a item row; raises UnknownIdError.
        scale: the lowest and the highest rating possible.

    Returns:
        From item row to rating, in the file's order; empty where the file has no rows.

    Raises:
        DataError: names file, line and value.
    """
    try:
        text = path.expanduser().read_text("utf-8-sig")
    except OSError as problem:
        raise DataError(f"ratings={path}: {problem.strerror or problem}") from None
    except UnicodeDecodeError:
        raise DataError(f"ratings={path}: not UTF-8 text") from None
    reader = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True)
    header = [name.strip() for name in next(reader, COLUMNS)]  # a file of no bytes has no ratings either
    if missing := [column for column in COLUMNS if column not in header]:
        raise DataError(
            f"{path} line 1: no column {missing[0]!r}; the file has {', '.join(map(repr, header))}, and "
            "'item,rating' is the header expected"
        )
    places = [header.index(column) for column in COLUMNS]
    found: dict[int, float] = {}
    first_line: dict[int, int] = {}
    try:
        for fields in reader:
            where, line = f"{path} line {reader.line_num}", reader.line_num
            if not fields:
                continue
            if len(fields) != len(header):
                raise DataError(
                    f"{where}: {len(header)} fields expected, {len(fields)} found ({','.join(fields)!r:.60});"
                    ' a title with a comma stands in double quotes: "Postino, Il",4'
                )
            item, rating = (fields[place].strip() for place in places)
            try:
                row, value = row_of(item), _number(rating, scale)
            except (UnknownIdError, ValueError) as problem:
                raise DataError(f"{where}: {problem}") from None
            if row in found:
                raise DataError(f"{where}: item {item!r} stands in line {first_line[row]} already")
            found[row], first_line[row] = value, line
    except csv.Error as problem:
        raise DataError(f"{path} line {reader.line_num}: {problem}") from None
    return found


def _number(text: str, scale: tuple[float, float]) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"rating {text!r} is not a number") from None
    if not scale[0] <= value <= scale[1]:
        raise ValueError(f"rating {text} is off the scale, {scale[0]:g} to {scale[1]:g}")
    return value
