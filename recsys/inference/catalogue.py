"""Catalogue: the items a model knows: found by id or title, chosen by genre and year, shown as a table."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.errors import DataError, UnknownIdError
from recsys.inference.titles import Titles


class Catalogue:
    """Items by row, id, title, genre and year.

    Args:
        dataset: whose items they are.
        rates: whether predictions are ratings, which have a scale.
    """

    def __init__(self, dataset: Dataset, rates: bool = True) -> None:
        self.rates = rates
        self.ids, self.items, self.scale = dataset.item_ids, dataset.item_table, dataset.scale
        self.ratings = np.bincount(dataset.items, minlength=len(self.ids))  # how many each item has

    def rows(self, items: Any, missing_ok: bool = False) -> NDArray[np.int32]:
        """Rows of raw ids or typed titles, in their shape; where missing is ok, -1 for unknown ones.

        Raises:
            UnknownIdError: names the unknown item, and the nearest ones.
        """
        asked = np.asarray(items)
        if asked.dtype.kind not in "UO":
            return self.ids.find(asked) if missing_ok else self.ids.to_indices(asked)
        rows = np.fromiter(
            (self.row(item, missing_ok) for item in asked.ravel().tolist()), np.int32, asked.size
        )
        return rows.reshape(asked.shape)

    def row(self, item: Any, missing_ok: bool = False) -> int:
        """The row of one item: what is an id is one, and everything else a title.

        Raises:
            UnknownIdError: as `rows`.
        """
        if not isinstance(item, str):
            return int(self.rows(np.asarray(item), missing_ok))
        typed: Any = int(item) if item.isdecimal() and self.ids.ids.dtype.kind in "iu" else item
        if typed in self.ids:
            return int(self.ids.to_indices(typed))
        try:
            return self.titles.find(item)
        except UnknownIdError:
            if missing_ok:
                return -1
            raise

    def choose(self, genres: Any = None, years: Any = None, min_ratings: int = 0) -> NDArray[np.bool_] | None:
        """Which items are of one of `genres` and in `years`: bool (n_items,), or None for all of them.

        Args:
            genres: one or several; capitals and signs do not matter (scifi is Sci-Fi).
            years: a year, or the first and the last one.
            min_ratings: how many ratings a item must have.

        Raises:
            DataError: there is no such genre, or no item is left.
        """
        if genres is None and years is None and min_ratings <= self.ratings.min():
            return None
        allowed = self.ratings >= min_ratings
        if genres is not None:
            wanted = {_letters(genre): genre for genre in ([genres] if isinstance(genres, str) else genres)}
            if unknown := [genre for key, genre in wanted.items() if key not in map(_letters, self.genres)]:
                known = ", ".join(self.genres) or "none"
                raise DataError(f"genres={', '.join(map(str, unknown))}: the items have {known}")
            meant = {genre for genre in self.genres if _letters(genre) in wanted}
            allowed &= np.array(
                [not meant.isdisjoint(some.split("|")) for some in self.items["genres"]], bool
            )
        if years is not None:
            span: Sequence[Any] = years if isinstance(years, Sequence) else [years]
            allowed &= self.items["year"].between(span[0], span[-1]).fillna(False).to_numpy(bool)
        if not allowed.any():
            raise DataError(f"genres={genres}, years={years}, min_ratings={min_ratings}: no item is left")
        return allowed

    def table(self, rows: NDArray, values: NDArray, name: str = "prediction") -> pd.DataFrame:
        """One line per row: item, title, year, genres, the values (ratings clipped), ratings."""
        items = self.items.iloc[rows][["title", "year", "genres"]].reset_index(drop=True)
        items.insert(0, "item", self.ids.to_ids(rows))
        items[name] = values.clip(*self.scale) if name == "prediction" and self.rates else values
        items["ratings"] = self.ratings[rows]
        return items

    @cached_property
    def genres(self) -> list[str]:
        """All that some item has, sorted."""
        return sorted({genre for some in self.items["genres"].str.split("|") for genre in some if genre})

    @cached_property
    def titles(self) -> Titles:
        """The items by title."""
        return Titles(self.items["title"].tolist(), self.ids.ids.tolist())


def _letters(genre: object) -> str:
    return "".join(letter for letter in str(genre).casefold() if letter.isalnum())
