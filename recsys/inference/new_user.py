"""NewUser: somebody the model has never met, folded in, who can be asked like a user."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, overload

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray

from recsys.inference.catalogue import Catalogue
from recsys.inference.fold_in import Posterior
from recsys.models.scoring import Seen, rank, rate, top_k


class NewUser:
    """Somebody folded in by their ratings; asked like a user, without an id.

    Args:
        catalogue: the items.
        posterior: their rows.
        seen: item rows they have rated.
    """

    def __init__(self, catalogue: Catalogue, posterior: Posterior, seen: NDArray[np.int64]) -> None:
        self.catalogue, self.posterior, self.seen = catalogue, posterior, seen
        self.network = posterior.network

    @cached_property
    def known(self) -> float:
        """How far their ratings tell them from the mean user: 0 (no ratings) to 1.

        The share by which the ratings have reduced the variance of predictions over the catalogue.
        """
        return self.posterior.known()

    @overload
    def predict(self, items: int | str) -> float: ...  # type: ignore[overload-overlap]
    @overload
    def predict(self, items: ArrayLike) -> NDArray[np.float32]: ...
    def predict(self, items: Any) -> Any:
        """Their ratings of raw ids or titles, clipped to the scale; in the shape of `items`."""
        rows = self.catalogue.rows(items)
        ratings = rate(self.network, np.zeros(rows.size, np.int32), rows.ravel())
        return ratings.reshape(rows.shape) if rows.ndim else float(ratings[0])

    def uncertainty(self, items: Any) -> Any:
        """Standard deviations of `predict`, in rating points, from knowing the person by few ratings."""
        rows = self.catalogue.rows(items)
        found = self.posterior.deviations(torch.from_numpy(rows.ravel().astype(np.int64))).numpy()
        return found.reshape(rows.shape) if rows.ndim else float(found[0])

    def recommend(
        self,
        k: int = 10,
        filter_seen: bool = True,
        genres: Sequence[str] | str | None = None,
        years: Sequence[int] | int | None = None,
        min_ratings: int = 0,
    ) -> pd.DataFrame:
        """The items they would rate highest; as `Recommender.recommend` of one user."""
        seen = Seen.of(np.zeros_like(self.seen), self.seen, 1) if filter_seen else None
        values, rows = rank(self.network, 0, k, seen, self.catalogue.choose(genres, years, min_ratings))
        found = np.isfinite(values)
        return self.catalogue.table(rows[found], values[found])

    def popular(
        self,
        k: int = 10,
        genres: Sequence[str] | str | None = None,
        years: Sequence[int] | int | None = None,
    ) -> pd.DataFrame:
        """The items with the most ratings, as this person would rate them: for somebody without any."""
        counts = self.catalogue.ratings.astype(np.float32)
        if (allowed := self.catalogue.choose(genres, years)) is not None:
            counts[~allowed] = -np.inf
        values, rows = (found[0].numpy() for found in top_k(torch.from_numpy(counts)[None], k))
        rows = rows[np.isfinite(values)]
        return self.catalogue.table(rows, rate(self.network, np.zeros_like(rows), rows))
