"""Prior distributions of a new item's vector, with or without known genres and year."""

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from recsys.errors import DataError, shortened
from recsys.inference.fold_in import Prior, noise_of, trained_rows
from recsys.models.features import item_feature_table
from recsys.models.transposed import TransposedScorer
from recsys.runs.load import LoadedRun

if TYPE_CHECKING:
    from sklearn.linear_model import Ridge

RIDGE_ALPHA = 10.0  # selected on the validation half of the hidden items, see docs/fold-in.md


class ItemPriors:
    """Gaussian priors of new items' vectors.

    If genres and year are unknown, the prior mean is the mean of the trained items' vectors, weighted by number of
    ratings (in all subsets). Most items are rarely rated, and rarely rated items have lower ratings. An item for which
    predictions are requested usually has more ratings, so an unweighted mean would be too low.

    With genres or year, the prior mean is the prediction of a ridge regression from features to item vectors, with the
    same weights. An unknown feature has its mean over the trained items. The prior covariance is that of the residuals,
    shrunk and scaled as in `Prior.from_rows`. Covariances are unweighted.

    Args:
        run: a run that predicts ratings.

    Raises:
        RunError: val/rmse in result.json is missing or out of range, there is only one trained item, or the vectors are
            longer than `MAX_WIDTH`.
    """

    def __init__(self, run: LoadedRun) -> None:
        self.noise = noise_of(run)
        self.scorer = TransposedScorer(run.checkpoint.scorer)
        trained = run.data.trained_items.cpu()
        self.rows = trained_rows(self.scorer, trained)
        self.item_table = run.data.item_table[trained.numpy()]
        counts = torch.from_numpy(run.data.item_counts)[trained].double()
        self.weights = counts / counts.mean()

    @cached_property
    def without_features(self) -> Prior:
        """The prior of an item whose genres and year are both unknown."""
        prior = Prior.from_rows(self.scorer, self.rows, self.noise)
        return replace(prior, mean=self._on_device(self.weights @ self.rows / self.weights.sum()))

    def with_features(self, genres: list[str], year: int | None) -> Prior:
        """Return the prior of an item with these genres and this year.

        Args:
            genres: names as in the item table, see `Catalogue.genres_named`; empty if unknown.
            year: release year, or None if unknown. If no trained item has this year, the nearest year of a trained item
                is used.

        Raises:
            DataError: the year is not an integer, no trained item has a year, or the items have too many genres; see
                `item_feature_table`.
        """
        if not (year is None or isinstance(year, int | np.integer)) or isinstance(year, bool):
            raise DataError(f"year={shortened(year)}: must be an integer, such as 1995, or None")
        years = sorted(self.item_table["year"].dropna().unique().tolist())
        if year is not None and not years:
            raise DataError(
                f"year={shortened(year, quoted=False)}: the items of this run have no years; omit year"
            )
        nearest = None if year is None else min(years, key=lambda known: abs(known - int(year)))
        if self._features.empty:  # neither genres nor years
            return self.without_features
        new = pd.DataFrame({"genres": ["|".join(genres)], "year": pd.array([nearest], dtype="Int64")})
        features = item_feature_table(new).reindex(columns=self._features.columns, fill_value=0).astype(float)
        means = np.average(self._features, axis=0, weights=self.weights)
        for is_known, prefix in ((bool(genres), "genre "), (nearest is not None, "year_")):
            if not is_known:
                columns = self._features.columns.str.startswith(prefix)
                features.loc[:, columns] = means[columns]
        mean = self._predict(features)[0]
        return replace(self._residual_prior, mean=self._on_device(mean))

    @cached_property
    def _features(self) -> pd.DataFrame:
        """Features of the trained items: one row per item, one column per genre and year bin."""
        return item_feature_table(self.item_table)

    @cached_property
    def _regression(self) -> "Ridge":
        """The fitted regression from features to item vectors."""
        from sklearn.linear_model import Ridge  # takes a second to import

        ridge = Ridge(alpha=RIDGE_ALPHA)
        return ridge.fit(self._features.to_numpy(float), self.rows.numpy(), self.weights.numpy())

    @cached_property
    def _residual_prior(self) -> Prior:
        """A prior with the covariance of the residuals; `with_features` replaces its mean."""
        return Prior.from_rows(self.scorer, self.rows - self._predict(self._features), self.noise)

    def _predict(self, features: pd.DataFrame) -> Tensor:
        """Return predicted vectors (n, w) for feature rows (n, n_features)."""
        predicted = torch.from_numpy(self._regression.predict(features.to_numpy(float)))
        return predicted.reshape(len(features), -1)  # Ridge returns shape (n,) if w = 1

    def _on_device(self, mean: Tensor) -> Tensor:
        return mean.to(self.scorer.device)
