"""Catalogue: find items by id or title, filter them by genre and year, show them as a table."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recsys.data.dataset import default_title
from recsys.data.ids import MAX_ID_LENGTH, IdMap, as_array
from recsys.errors import DataError, UnknownIdError, shortened
from recsys.inference.titles import Titles, is_number
from recsys.inference.where import rows_where


class Catalogue:
    """The items of a run, with ids, titles, genres, years and numbers of ratings.

    Args:
        ids: raw item ids.
        items: the item table: title, year, genres by item index.
        rating_counts: number of ratings of every item, int64 (n_items,).
        scale: the lowest and the highest rating.
        predicts_ratings: whether predictions are on the rating scale.
        has_ratings: whether the data has ratings; otherwise, it has interactions.
    """

    def __init__(
        self,
        ids: IdMap,
        items: pd.DataFrame,
        rating_counts: NDArray[np.int64],
        scale: tuple[float, float],
        predicts_ratings: bool = True,
        has_ratings: bool = True,
    ) -> None:
        self.count_name = "ratings" if has_ratings else "interactions"
        self.ids, self.items, self.rating_counts = ids, items, rating_counts
        self.scale, self.predicts_ratings = scale, predicts_ratings

    def to_indices(self, items: Any, missing_ok: bool = False) -> NDArray[np.int32]:
        """Return the item indices of raw ids or titles, in the same shape.

        Args:
            items: raw ids or titles. A text that is an id counts as an id. The default titles of items without one
                ("item 7") are not searched.
            missing_ok: whether unknown items get the index -1.

        Raises:
            UnknownIdError: an item is unknown, or several items match a title; lists the nearest ones.
        """
        values = as_array(items)
        if values.dtype != object:
            return self.ids.find_given(values) if missing_ok else self.ids.to_indices(values)
        indices = (self.to_index(item, missing_ok) for item in values.ravel().tolist())
        return np.fromiter(indices, np.int32, values.size).reshape(values.shape)

    def to_index(self, item: Any, missing_ok: bool = False) -> int:
        """Return the item index of one raw id or title; see `to_indices`."""
        if not isinstance(item, str):
            return int(self.ids.find_given(item) if missing_ok else self.ids.to_indices(item))
        if len(item) > MAX_ID_LENGTH:  # slow to compare
            if missing_ok:
                return -1
            raise UnknownIdError(
                f"item={shortened(item)}: ids and titles have at most {MAX_ID_LENGTH} characters"
            )
        id = self.ids.from_text(item)
        index = int(self.ids.find(id))
        if index >= 0:
            return index
        matches = [] if "\0" in item else self.titles.matches(item)
        if len(matches) == 1 or missing_ok:
            return matches[0] if len(matches) == 1 else -1
        if not matches and (is_number(item) or "\0" in item or not self.titles):
            return int(self.ids.to_indices(id))  # raises the error for an unknown id
        return self.titles.find(item)

    def allowed(
        self, genres: Any = None, years: Any = None, min_ratings: int = 0, where: str | None = None
    ) -> NDArray[np.bool_] | None:
        """Return which items pass all filters: bool (n_items,), or None if all items do.

        Args:
            genres: one genre or several, of which an item needs at least one; see `genres_named`.
            years: a year, or the first and the last year.
            min_ratings: the lowest number of ratings.
            where: a condition on the columns of the item table, see `recsys.inference.where`.

        Raises:
            ConfigError: the condition is not possible.
            DataError: a genre does not exist, or no item passes.
        """
        if genres is None and years is None and where is None and min_ratings <= self.rating_counts.min():
            return None
        allowed = self.rating_counts >= min_ratings
        if genres is not None:
            allowed &= self._has_genre(genres)
        if years is not None:
            span = np.atleast_1d(years)
            if span.shape not in ((1,), (2,)) or span.dtype.kind not in "iuf":
                raise DataError(f"years={shortened(years)}: must be a year, or the first and the last year")
            allowed &= self.items["year"].between(span[0], span[-1]).fillna(False).to_numpy(bool)
        if where is not None:
            allowed &= rows_where(self.items, where)
        if not allowed.any():
            filters = {"genres": genres, "years": years, "where": where, "min_ratings": min_ratings or None}
            given = ", ".join(
                f"{key}={shortened(value, 200, quoted=False)}"
                for key, value in filters.items()
                if value is not None
            )
            raise DataError(f"{given}: no item passes these filters; relax one of them")
        return allowed

    def table(
        self,
        indices: NDArray,
        values: NDArray,
        name: str = "prediction",
        scores: NDArray | None = None,
        deviations: NDArray | None = None,
    ) -> pd.DataFrame:
        """Return a table of items: item, title, year, genres, further columns of the item table, [score], values,
        [deviation], ratings (or interactions).

        Args:
            indices: item indices (n,).
            values: the values (n,); predicted ratings are clipped to the scale.
            name: the column of the values.
            scores: what the items are ordered by (n,), if these are not the values.
            deviations: by how much the averaged networks disagree on the values (n,).
        """
        first = ["title", "year", "genres"]
        more = [column for column in self.items.columns if column not in first]
        table = self.items.iloc[indices][first + more].reset_index(drop=True)
        table.insert(0, "item", self.ids.to_ids(indices))
        if scores is not None:
            table["score"] = scores
        clipped = name == "prediction" and self.predicts_ratings
        table[name] = values.clip(*self.scale) if clipped else values
        if deviations is not None:
            table["deviation"] = deviations
        table[self.count_name] = self.rating_counts[indices]
        return table

    @cached_property
    def genres(self) -> list[str]:
        """All genres of the items, sorted."""
        return sorted({genre for genres in self.items["genres"].str.split("|") for genre in genres if genre})

    @cached_property
    def titles(self) -> Titles:
        """The items by title; those with a default title have none."""
        pairs = list(zip(self.items["title"].tolist(), self.ids.ids.tolist(), strict=True))
        return Titles(
            [None if title == default_title(id) else title for title, id in pairs], self.ids.ids.tolist()
        )

    def genres_named(self, genres: Sequence[str] | str) -> list[str]:
        """Return genres as the items name them.

        Args:
            genres: one genre or several; capitals and punctuation do not matter ("scifi" is Sci-Fi).

        Raises:
            DataError: a genre does not exist.
        """
        if not isinstance(genres, Iterable):
            raise DataError(f"genres={shortened(genres, quoted=False)}: must be a name, or a list of names")
        wanted = {_letters(genre): genre for genre in ([genres] if isinstance(genres, str) else genres)}
        known = {_letters(genre) for genre in self.genres}
        if unknown := [str(genre) for letters, genre in wanted.items() if letters not in known]:
            raise DataError(
                f"genres={', '.join(unknown)}: must be among {', '.join(self.genres) or 'none (the items have none)'}"
            )
        return [genre for genre in self.genres if _letters(genre) in wanted]

    def _has_genre(self, genres: Sequence[str] | str) -> NDArray[np.bool_]:
        """Return which items have at least one of the genres: bool (n_items,)."""
        wanted = set(self.genres_named(genres))
        return np.array([not wanted.isdisjoint(own.split("|")) for own in self.items["genres"]], dtype=bool)


def _letters(genre: object) -> str:
    return "".join(letter for letter in str(genre).casefold() if letter.isalnum())
