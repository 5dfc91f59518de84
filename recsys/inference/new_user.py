"""NewUser: predictions and recommendations for a user without training ratings (cold start)."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, overload

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from recsys.data.ids import in_shape_of
from recsys.errors import RunError
from recsys.inference.catalogue import Catalogue
from recsys.inference.fold_in import Posterior, Prior
from recsys.models.scorer import Scorer
from recsys.models.scoring import Seen, predict_pairs, top_items, top_k


class NewUser:
    """A user described by ratings alone; made by `Recommender.fold_in`.

    Two vectors describe the user: how high the ratings are determines one, with which ratings are predicted, and which
    items were rated the other, with which choices are predicted. A run can have either or both.

    Args:
        catalogue: the items.
        seen: item indices of the user's ratings, int64 (n,).
        scorer: its only user, at index 0, is this one.
        ranker: orders the items for recommendations.
        posterior: the estimate of the user's vector; None if the run only orders items.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        seen: NDArray[np.int64],
        scorer: Scorer,
        ranker: Scorer,
        posterior: Posterior | None,
    ) -> None:
        self.catalogue, self.seen, self.posterior = catalogue, seen, posterior
        self.scorer, self.ranker = scorer, ranker

    @classmethod
    def from_ratings(
        cls,
        ratings: Mapping[int, float],
        catalogue: Catalogue,
        scorer: Scorer,
        prior: Prior | None,
        choice_row: Tensor | None,
    ) -> "NewUser":
        """Fold a user in.

        Args:
            ratings: by item index.
            catalogue: the items.
            scorer: of the trained users.
            prior: the distribution of users' vectors; None if the run only orders items.
            choice_row: the row (w,) that predicts which items the user chooses; None if the run only predicts ratings.
        """
        seen = np.array(list(ratings), dtype=np.int64)
        row = None if choice_row is None else choice_row[None]
        if prior is None:
            assert row is not None
            one = scorer.with_users(row)
            return cls(catalogue, seen, one, one.ranker(), None)
        posterior = prior.posterior(torch.from_numpy(seen), torch.tensor(list(ratings.values())).float())
        one = posterior.scorer
        return cls(catalogue, seen, one, one.ranker(row), posterior)

    @cached_property
    def explained(self) -> float:
        """How much of this user's taste the ratings explain: 0 (no ratings) to 1; see `Posterior.explained`.

        Raises:
            RunError: the run does not predict ratings.
        """
        return self._posterior("explained").explained()

    @overload
    def predict(self, items: int | str) -> float: ...  # type: ignore[overload-overlap]
    @overload
    def predict(self, items: ArrayLike) -> NDArray[np.float32]: ...
    def predict(self, items: Any) -> Any:
        """Return predicted ratings of raw ids or titles, clipped to the scale, in the shape of `items`."""
        indices = self.catalogue.to_indices(items)
        ratings = predict_pairs(self.scorer, np.zeros(indices.size, np.int32), indices.ravel())
        return in_shape_of(indices, ratings)

    def uncertainty(self, items: Any) -> Any:
        """Return the standard deviations of `predict`, in rating points and in the shape of `items`.

        They come from the small number of ratings; the noise of single ratings is not included.

        Raises:
            RunError: the run does not predict ratings.
        """
        indices = self.catalogue.to_indices(items)
        index = torch.from_numpy(indices.ravel().astype(np.int64))
        deviations = self._posterior("uncertainty").deviations(index).cpu().numpy()
        return in_shape_of(indices, deviations)

    def recommend(
        self,
        k: int = 10,
        filter_seen: bool = True,
        genres: Sequence[str] | str | None = None,
        years: Sequence[int] | int | None = None,
        min_ratings: int = 10,
        where: str | None = None,
    ) -> pd.DataFrame:
        """Return the k best items; see `Recommender.recommend`."""
        seen = Seen.of(np.zeros_like(self.seen), self.seen, 1) if filter_seen else None
        allowed = self.catalogue.allowed(genres, years, min_ratings, where)
        values, indices = top_items(self.ranker, 0, k, seen, allowed)
        values, indices = values[np.isfinite(values)], indices[np.isfinite(values)]
        if self.ranker is self.scorer:
            return self.catalogue.table(indices, values)
        predictions = predict_pairs(self.scorer, np.zeros_like(indices), indices)
        return self.catalogue.table(indices, predictions, scores=values)

    def popular(
        self,
        k: int = 10,
        genres: Sequence[str] | str | None = None,
        years: Sequence[int] | int | None = None,
        where: str | None = None,
    ) -> pd.DataFrame:
        """Return the k items with the most ratings and this user's predictions: for a user without ratings."""
        counts = self.catalogue.rating_counts.astype(np.float32)
        if (allowed := self.catalogue.allowed(genres, years, where=where)) is not None:
            counts[~allowed] = -np.inf
        values, indices = (ranked[0].numpy() for ranked in top_k(torch.from_numpy(counts)[None], k))
        indices = indices[np.isfinite(values)]
        return self.catalogue.table(indices, predict_pairs(self.scorer, np.zeros_like(indices), indices))

    def _posterior(self, name: str) -> Posterior:
        if self.posterior is None:
            raise RunError(f"{name}: needs predicted ratings, but the loss of this run only orders items")
        return self.posterior
