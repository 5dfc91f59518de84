"""Predictions on the test set and tables of their errors."""

import numpy as np
import pandas as pd

from recsys.analysis.components import NORMAL_95
from recsys.data.biases import Biases
from recsys.models.scorer import Scorer
from recsys.models.scoring import predict_pairs
from recsys.runs.ratings import RunRatings


def predict_test_set(scorer: Scorer, ratings: RunRatings, biases: Biases) -> pd.DataFrame:
    """Predict all ratings of the test set.

    Args:
        scorer: the scorer of the run.
        ratings: the ratings of the run and their split.
        biases: the bias model of the training set.

    Returns:
        One row per test rating: true, predicted, baseline (user + item bias, clipped to the scale), and the
        number of training ratings of its user (`activity`) and of its item (`popularity`).
    """
    dataset, split = ratings.dataset, ratings.split
    predicted = predict_pairs(scorer, dataset.users[split.test], dataset.items[split.test])
    counts = {
        name: np.bincount(column[split.train], minlength=int(column.max()) + 1)[column[split.test]]
        for name, column in (("activity", dataset.users), ("popularity", dataset.items))
    }
    return pd.DataFrame(
        {
            "true": dataset.ratings[split.test].astype(np.float64),
            "predicted": predicted.astype(np.float64),
            "baseline": biases.predict(dataset.users[split.test], dataset.items[split.test]).clip(
                *dataset.scale
            ),
            **counts,
        }
    )


def predictions_by_rating(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return quantiles of the predictions for each true rating, rounded to half stars.

    Args:
        predictions: from `predict_test_set`.

    Returns:
        Indexed by rating: the quantiles 0.05, 0.25, 0.5, 0.75, 0.95 of the predictions, and count.
    """
    groups = predictions.groupby((2 * predictions["true"]).round() / 2)["predicted"]
    return groups.quantile(np.array([0.05, 0.25, 0.5, 0.75, 0.95])).unstack().assign(count=groups.size())


def calibration(predictions: pd.DataFrame, scale: tuple[float, float], width: float = 0.25) -> pd.DataFrame:
    """Return the mean true rating in bins of similar predictions.

    Args:
        predictions: from `predict_test_set`.
        scale: lowest and highest possible rating.
        width: width of a bin in rating points.

    Returns:
        One row per bin that is not empty: predicted and true (means), count, error (half the width of the
        95 % interval of the mean true rating; NaN for a single rating).
    """
    last = int(np.ceil((scale[1] - scale[0]) / width)) - 1
    bins = ((predictions["predicted"] - scale[0]) // width).clip(upper=last)
    groups = predictions.groupby(bins)
    table = groups[["predicted", "true"]].mean().assign(count=groups.size())
    error = NORMAL_95 * groups["true"].std() / np.sqrt(table["count"])
    return table.assign(error=error).reset_index(drop=True)


def errors_by(predictions: pd.DataFrame, column: str, bins: int = 6) -> pd.DataFrame:
    """Return the RMSE in bins of user activity or item popularity.

    Args:
        predictions: from `predict_test_set`.
        column: "activity" or "popularity".
        bins: number of quantile bins, each with about the same number of test ratings; fewer where counts
            repeat.

    Returns:
        One row per bin: low, high (training ratings), count (test ratings), rmse, baseline (RMSE of the
        baseline), error (half the width of the 95 % interval of rmse: that of the mean squared error,
        divided by 2 rmse).
    """
    counts = predictions[column].to_numpy()
    edges = np.unique(np.quantile(counts, np.linspace(0, 1, bins + 1)[1:-1], method="higher"))
    groups = predictions.assign(
        squared=(predictions["predicted"] - predictions["true"]) ** 2,
        baseline_squared=(predictions["baseline"] - predictions["true"]) ** 2,
    ).groupby(np.searchsorted(edges, counts))
    n, rmse = groups.size(), np.sqrt(groups["squared"].mean())
    return pd.DataFrame(
        {
            "low": groups[column].min(),
            "high": groups[column].max(),
            "count": n,
            "rmse": rmse,
            "baseline": np.sqrt(groups["baseline_squared"].mean()),
            "error": NORMAL_95 * groups["squared"].std() / np.sqrt(n) / (2 * rmse),
        }
    ).reset_index(drop=True)
