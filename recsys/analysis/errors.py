"""Where predictions of the test part are right and wrong, in tables of bins."""

import numpy as np
import pandas as pd
import torch

from recsys.analysis.components import NORMAL_95
from recsys.data.biases import user_item_bias
from recsys.runs.load import LoadedRun


@torch.no_grad()
def predict_test(run: LoadedRun) -> pd.DataFrame:
    """One line per test pair: true, predicted, baseline (user + item bias, clipped), and the numbers of
    training ratings of its user (`activity`) and its item (`popularity`)."""
    dataset, split = run.dataset, run.split
    rows = split.test
    batches = run.batches("test")
    predicted = [run.trained.network.predict(users, items) for users, items, _ in batches]
    counts = {
        name: np.bincount(column[split.train], minlength=int(column.max()) + 1)[column[rows]]
        for name, column in (("activity", dataset.users), ("popularity", dataset.items))
    }
    return pd.DataFrame(
        {
            "true": dataset.ratings[rows].astype(np.float64),
            "predicted": torch.cat(predicted).numpy().astype(np.float64),
            "baseline": user_item_bias(dataset, split.train, rows).clip(*dataset.scale),
            **counts,
        }
    )


def predictions_by_rating(pairs: pd.DataFrame) -> pd.DataFrame:
    """How predictions lie for each true rating, to half stars.

    Returns:
        Indexed by rating: count, and the quantiles 0.05, 0.25, 0.5, 0.75, 0.95 of the predictions.
    """
    groups = pairs.groupby((2 * pairs["true"]).round() / 2)["predicted"]
    return groups.quantile(np.array([0.05, 0.25, 0.5, 0.75, 0.95])).unstack().assign(count=groups.size())


def calibration(pairs: pd.DataFrame, scale: tuple[float, float], width: float = 0.25) -> pd.DataFrame:
    """The mean true rating of the pairs with alike predictions.

    Args:
        pairs: from `predict_test`.
        scale: the lowest and the highest rating possible.
        width: of a bin, in rating points.

    Returns:
        A line per bin that is not empty: predicted and true (means), count, error (half the width of the 95 %
        interval of the mean true rating; NaN for a single pair).
    """
    last = int(np.ceil((scale[1] - scale[0]) / width)) - 1
    bins = ((pairs["predicted"] - scale[0]) // width).clip(upper=last)
    groups = pairs.groupby(bins)
    table = groups[["predicted", "true"]].mean().assign(count=groups.size())
    return table.assign(error=NORMAL_95 * groups["true"].std() / np.sqrt(table["count"])).reset_index(
        drop=True
    )


def errors_by(pairs: pd.DataFrame, column: str, bins: int = 6) -> pd.DataFrame:
    """RMSE where users are more or less active, or items more or less popular.

    Args:
        pairs: from `predict_test`.
        column: "activity" or "popularity".
        bins: quantiles of the test pairs, so that each bin holds about as many; fewer where counts repeat.

    Returns:
        A line per bin: low, high (training ratings), count (test pairs), rmse, baseline (its RMSE), error
        (half the width of the 95 % interval of rmse: that of the mean squared error, over 2 rmse).
    """
    counts = pairs[column].to_numpy()
    edges = np.unique(np.quantile(counts, np.linspace(0, 1, bins + 1)[1:-1], method="higher"))
    squared = (pairs["predicted"] - pairs["true"]) ** 2
    groups = pairs.assign(squared=squared, bias_squared=(pairs["baseline"] - pairs["true"]) ** 2).groupby(
        np.searchsorted(edges, counts)
    )
    n, mean = groups.size(), groups["squared"].mean()
    rmse = np.sqrt(mean)
    return pd.DataFrame(
        {
            "low": groups[column].min(),
            "high": groups[column].max(),
            "count": n,
            "rmse": rmse,
            "baseline": np.sqrt(groups["bias_squared"].mean()),
            "error": NORMAL_95 * groups["squared"].std() / np.sqrt(n) / (2 * rmse),
        }
    ).reset_index(drop=True)
