"""The distribution of a new item's vector before its first rating, with or without its genres and year."""

from dataclasses import replace
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from recsys.errors import DataError, RunError, shortened
from recsys.inference.fold_in import Prior, noise_of, trained_rows
from recsys.models.features import YEARS_PER_BIN, item_feature_table
from recsys.models.transposed import TransposedScorer
from recsys.runs.load import LoadedRun

RIDGE = 10.0  # penalty of the regression on features; chosen on other items than those of docs/fold-in.md
MAX_FEATURES = 1000  # genres and bins of years; the regression on more takes minutes


class ItemPriors:
    """The Gaussian distributions of new items' vectors.

    Without features, the mean is that of the trained items, weighted by their numbers of ratings: most items have few
    ratings, and low ones, and an item of which ratings are predicted is rather one of the others. With features, the
    mean is a ridge regression of the items' vectors on their features, with the same weights, and the covariance is
    that of its residuals.

    Args:
        run: a run that predicts ratings.

    Raises:
        RunError: the validation error in its result.json is not possible, or a vector is too long.
    """

    def __init__(self, run: LoadedRun) -> None:
        self.item_table, self.noise = run.data.item_table, noise_of(run)
        self.scorer = TransposedScorer(run.checkpoint.scorer)
        self.trained = run.data.trained_items.cpu()
        self.rows = trained_rows(self.scorer, self.trained)
        counts = torch.from_numpy(run.data.item_counts)[self.trained].double()
        self.weights = counts / counts.mean()

    @cached_property
    def without_features(self) -> Prior:
        """The distribution if neither genres nor year are known."""
        prior = Prior.from_rows(self.scorer, self.rows, self.noise)
        return replace(prior, mean=self._placed(self.weights @ self.rows / self.weights.sum()))

    def with_features(self, genres: list[str], year: int | None) -> Prior:
        """Return the distribution of an item with these features.

        Args:
            genres: genres of the run's items.
            year: a year; one that is far from those of the run's items counts as unknown.

        Raises:
            DataError: the year is not an integer, or no item of the run has one.
            RunError: the run's items have too many different features.
        """
        if not (year is None or isinstance(year, int | np.integer)) or isinstance(year, bool):
            raise DataError(f"year={shortened(year)}: must be an integer, such as 1995")
        if year is not None and self.item_table["year"].isna().all():
            raise DataError(f"year={year}: the items of this run have no years; leave it out")
        own = pd.DataFrame({"genres": ["|".join(genres)], "year": pd.array([year], dtype="Int64")})
        features = item_feature_table(own).reindex(columns=self._features.columns, fill_value=0)
        mean = torch.from_numpy(self._regression.predict(features.to_numpy(float))[0])
        return replace(self._residuals, mean=self._placed(mean))

    @cached_property
    def _features(self) -> pd.DataFrame:
        """The features of the trained items."""
        genres, years = self.item_table["genres"], self.item_table["year"]
        n_features = genres.str.split("|").explode().nunique() + (years // YEARS_PER_BIN).nunique()
        if n_features > MAX_FEATURES:
            raise RunError(
                f"the items have {n_features:,} different genres and bins of years; with more than {MAX_FEATURES:,}, "
                "a new item cannot be described by them; leave out genres and year"
            )
        return item_feature_table(self.item_table)[self.trained.numpy()]

    @cached_property
    def _regression(self) -> "Ridge":  # type: ignore[name-defined]  # noqa: F821
        """Returns the mean vectors of items from their features."""
        from sklearn.linear_model import Ridge  # takes a second to import

        ridge = Ridge(alpha=RIDGE)
        return ridge.fit(self._features.to_numpy(float), self.rows.numpy(), self.weights.numpy())

    @cached_property
    def _residuals(self) -> Prior:
        """The distribution around the mean of the regression."""
        expected = torch.from_numpy(self._regression.predict(self._features.to_numpy(float)))
        return Prior.from_rows(self.scorer, self.rows - expected, self.noise)

    def _placed(self, mean: Tensor) -> Tensor:
        return mean.to(self.scorer.device)
