"""Baselines: predictions and rankings that need no network."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recsys.data.biases import Biases, fit_biases
from recsys.data.dataset import Dataset
from recsys.data.splits import Split
from recsys.evaluation.added_metrics import NO_METRICS, AddedMetrics
from recsys.evaluation.ranking_metrics import RankingTask
from recsys.evaluation.rating_metrics import RatingErrors, prefixed
from recsys.models.scorer import Precision, Scorer


def baseline_metrics(
    dataset: Dataset,
    split: Split,
    subset: str = "test",
    ranking: RankingTask | None = None,
    biases: Biases | None = None,
    added: AddedMetrics = NO_METRICS,
) -> dict[str, dict[str, float]]:
    """Return the metrics of each baseline, fitted to the training set, on a subset; for interactions, only popularity.

    Args:
        dataset: the ratings.
        split: their subsets.
        subset: "train", "val" or "test".
        ranking: the ranking task of the subset; None leaves out the baseline "popularity".
        biases: the bias model of the training set; None: fit it.
        added: further metrics.
    """
    rows = getattr(split, subset)
    metrics: dict[str, dict[str, float]] = {}
    if dataset.has_ratings:
        biases = biases or fit_biases(dataset, split.train)
        predictions = {
            "global-mean": np.full(len(rows), dataset.ratings[split.train].mean(dtype=np.float64)),
            "user-item-bias": biases.predict(dataset.users[rows], dataset.items[rows]),
        }
        metrics = {
            name: _rating_metrics(values.clip(*dataset.scale), dataset.ratings[rows], subset, added)
            for name, values in predictions.items()
        }
    if ranking is not None:
        metrics["popularity"] = ranking.measure(Popularity(len(dataset.user_ids), ranking.item_counts), added)
    return metrics


def _rating_metrics(predicted: NDArray, true: NDArray, subset: str, added: AddedMetrics) -> dict[str, float]:
    errors = RatingErrors(added=added.rating)
    errors.update(torch.from_numpy(predicted), torch.from_numpy(true))
    return prefixed(subset, errors.compute())


class Popularity(Scorer):
    """Ranks items by their number of training ratings, the same for every user.

    Args:
        n_users: number of users.
        item_counts: int64 (n_items,); training ratings of each item, exact in float32 up to 16 million.
    """

    def __init__(self, n_users: int, item_counts: NDArray[np.int64]) -> None:
        super().__init__(n_users, len(item_counts), (0, float(item_counts.max())), predicts_ratings=False)
        counts = torch.from_numpy(item_counts.astype(np.float32))
        self.counts = nn.Embedding.from_pretrained(counts[:, None])

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the number of ratings of the items: (B,) and (B,) to (B,)."""
        return self.counts(items).squeeze(-1)

    def score_catalogue(self, users: Tensor, precision: Precision = "fp32") -> Tensor:
        """Return the number of ratings of every item: (B,) to (B, n_items)."""
        return self.counts.weight.T.repeat(len(users), 1)
