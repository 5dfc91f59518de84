"""The ratings, interactions or features that describe a new user or a new item, given in Python."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from recsys.data.ratings_file.numbers import parse_number
from recsys.errors import DataError, listed, shortened, type_of

if TYPE_CHECKING:
    from typing_extensions import TypeIs

Ratings = Mapping[Any, float] | pd.Series | Iterable[tuple[Any, float]]


def index_ratings(
    ratings: Ratings, to_index: Callable[[Any], int], scale: tuple[float, float], kind: str = "item"
) -> dict[int, float]:
    """Return ratings by index.

    Args:
        ratings: a mapping or pairs of an item (or user) and its rating, a number or text with a number.
        to_index: returns the index of a raw id or title.
        scale: the lowest and the highest rating.
        kind: "item" or "user", for error messages.

    Raises:
        UnknownIdError: an id is unknown, or several items match a title.
        DataError: `ratings` does not consist of pairs, a rating is not a number or off the scale, or an item or a user
            has two.
    """
    by_index: dict[int, float] = {}
    low, high = scale
    try:
        pairs = [(id, rating) for id, rating in (ratings.items() if _is_mapping(ratings) else ratings)]
    except (TypeError, ValueError):
        raise DataError(
            f"ratings: {type_of(ratings)} does not consist of pairs; give {{{kind}: rating}}, such as {{7: 4.5}}, or a "
            f"list of ({kind}, rating)"
        ) from None
    for id, rating in pairs:
        index = _index_of(id, to_index, kind)
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
        items: raw ids or titles; an item that occurs several times counts once. Of a mapping, the keys are used.
        to_index: returns the index of a raw id or title.

    Raises:
        UnknownIdError: an id is unknown, or several items match a title.
        DataError: no list is given.
    """
    if isinstance(items, str) or not isinstance(items, Iterable):
        raise DataError(f"{shortened(items)}: give a list of items, even of one")
    return {_index_of(item, to_index, "item"): 1.0 for item in items}


def given_features(features: Mapping[str, Any] | pd.Series | None, columns: Sequence[str]) -> dict[Any, Any]:
    """Return the features that are known; missing values, such as None or NaN, are not.

    Args:
        features: by column, such as a row of a table; None: none.
        columns: those that the items have.

    Raises:
        DataError: `features` is not a mapping, or names another column.
    """
    if features is None:
        return {}
    if not _is_mapping(features):
        raise DataError(f"features: {type_of(features)} has no names; give {{column: value}}")
    given = dict(features.items())  # iterating over a Series would give its values
    if unknown := [column for column in given if column not in columns]:
        raise DataError(
            f"features: the items have no column {shortened(unknown[0])}; they have {listed(columns)}, and vectors "
            "cannot be given"
        )
    # For a list of values, pd.isna returns an array.
    return {column: value for column, value in given.items() if pd.isna(value) is not True}


def _index_of(id: Any, to_index: Callable[[Any], int], kind: str) -> int:
    try:
        return to_index(id)
    except TypeError:  # a list of ids, for example
        raise DataError(f"{kind} {shortened(id)}: must be one id") from None


def _is_mapping(given: object) -> "TypeIs[Mapping[Any, Any] | pd.Series]":
    return isinstance(given, Mapping | pd.Series)
