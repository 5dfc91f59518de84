"""Prior distributions of a new item's vector, with or without known genres and year."""

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from torch import Tensor

from recsys.data.features import Options, make_features
from recsys.errors import DataError, listed, shortened
from recsys.inference.fold_in import Prior, noise_of, trained_rows
from recsys.inference.where import parse_date
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
        run: a run; if it does not predict ratings, only the means of the priors have a meaning.

    Raises:
        RunError: val/rmse in result.json is missing or out of range, there is only one trained item, or the vectors are
            longer than `MAX_WIDTH`.
    """

    def __init__(self, run: LoadedRun) -> None:
        self.scorer = TransposedScorer(run.checkpoint.scorer)
        self.noise = noise_of(run) if self.scorer.predicts_ratings else 1.0
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

    def with_columns(self, values: Mapping[str, Any]) -> Prior:
        """Return the prior of an item with these values in the columns of the item table.

        The regression is that of `with_features`, on the features of `recsys.data.features.make_features`.

        Args:
            values: by column, each of which exists; several values are a list, or text with "|" between them. Columns
                that are not given are unknown.

        Raises:
            DataError: a value has another type than the column.
        """
        known = self.item_table.drop(columns="title")
        row = {column: _like(known, column, value) for column, value in values.items()}
        table = pd.concat([known, pd.DataFrame([row])], ignore_index=True)
        table = table.astype({column: "float64" for column in table if table[column].dtype == "Int32"})
        used = pa.Table.from_pandas(table[[*row]], preserve_index=False)
        features = make_features(used, Options(), "features").values.astype(np.float64)
        if not features.shape[1]:
            raise DataError(
                f"features: {listed(list(row))}: constant, or different for each item, so nothing follows from it"
            )
        ridge = self._new_ridge().fit(features[:-1], self.rows.numpy(), self.weights.numpy())
        predicted = torch.from_numpy(ridge.predict(features)).reshape(len(features), -1)
        prior = Prior.from_rows(self.scorer, self.rows - predicted[:-1], self.noise)
        return replace(prior, mean=self._on_device(predicted[-1]))

    @cached_property
    def _features(self) -> pd.DataFrame:
        """Features of the trained items: one row per item, one column per genre and year bin."""
        return item_feature_table(self.item_table)

    @cached_property
    def _regression(self) -> "Ridge":
        """The fitted regression from features to item vectors."""
        ridge = self._new_ridge()
        return ridge.fit(self._features.to_numpy(float), self.rows.numpy(), self.weights.numpy())

    def _new_ridge(self) -> "Ridge":
        from sklearn.linear_model import Ridge  # takes a second to import

        return Ridge(alpha=RIDGE_ALPHA)

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


def _like(table: pd.DataFrame, column: str, value: Any) -> Any:
    """Return a value as a column has it; a number or a date outside of its range as the nearest end.

    Otherwise, one large number would change the scale of all others.

    Raises:
        DataError: the value has another type, or a text is none of its values.
    """
    known = table[column]
    if known.isna().all():
        raise DataError(f"features: column {column!r} has no values in this run; leave it out")
    if pd.api.types.is_datetime64_any_dtype(known.dtype):
        try:
            given = pd.Timestamp(value) if isinstance(value, date) else parse_date(str(value))
            return min(max(given, known.min()), known.max())
        except (TypeError, ValueError):
            raise DataError(
                f"features: column {column!r} has dates, such as '2026-11-27'; {shortened(value)} is not"
            ) from None
    if pd.api.types.is_numeric_dtype(known.dtype):
        is_number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
        if not is_number or not -math.inf < value < math.inf:
            raise DataError(f"features: column {column!r} has numbers, {shortened(value)} is not")
        return min(max(value, float(known.min())), float(known.max()))
    several = value if isinstance(value, list | tuple | set) else [value]
    text = "|".join(str(one).lower() if isinstance(one, bool) else str(one) for one in several)
    values = set(known.str.split("|").explode()) - {""}
    if unknown := [part for part in text.split("|") if part and part not in values]:
        raise DataError(
            f"features: column {column!r} has no value {shortened(unknown[0])}; it has {listed(sorted(values), 10)}"
        )
    return text
