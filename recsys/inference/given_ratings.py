"""The ratings or interactions that describe a new user or a new item, given in Python."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from recsys.data.ratings_file.numbers import parse_number
from recsys.errors import DataError, shortened

Ratings = Mapping[Any, float] | Iterable[tuple[Any, float]]


def index_ratings(
    ratings: Ratings, to_index: Callable[[Any], int], scale: tuple[float, float], kind: str = "item"
) -> dict[int, float]:
    """Return ratings by index.

    Args:
        ratings: from what was rated (or from who rated) to ratings, which are numbers or text with a number.
        to_index: returns the index of a raw id or title.
        scale: the lowest and the highest rating.
        kind: "item" or "user", for error messages.

    Raises:
        UnknownIdError: an id is unknown, or several items match a title.
        DataError: a rating is not a number or off the scale, or there are two of one item or user.
    """
    by_index: dict[int, float] = {}
    low, high = scale
    for id, rating in ratings.items() if isinstance(ratings, Mapping) else ratings:
        index = to_index(id)
        given, shown = (shortened(value, quoted=False) for value in (id, rating))
        try:
            # Text is parsed as in a file; float() accepts more, such as 0_5.
            value = parse_number(rating) if isinstance(rating, str) else float(rating)
        except (TypeError, ValueError, OverflowError):
            raise DataError(f"{kind} {given}: rating {shortened(rating)} is not a number") from None
        if not low <= value <= high:
            raise DataError(f"{kind} {given}: rating {shown} must be between {low:g} and {high:g}")
        if index in by_index:
            raise DataError(f"{kind} {given}: has two ratings; keep one of them")
        by_index[index] = value
    return by_index


def index_interactions(items: Iterable[Any], to_index: Callable[[Any], int]) -> dict[int, float]:
    """Return 1 for each item index.

    Args:
        items: raw ids or titles; an item that occurs several times counts once. The values of a mapping have no effect.
        to_index: returns the index of a raw id or title.

    Raises:
        UnknownIdError: an id is unknown, or several items match a title.
        DataError: a single text is given.
    """
    if isinstance(items, str):
        raise DataError(f"{shortened(items)}: give a list of items, even of one")
    return {to_index(item): 1.0 for item in items}
