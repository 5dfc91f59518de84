"""What a run is measured against: predictions that need no network."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recsys.data.biases import user_item_bias
from recsys.data.dataset import Dataset
from recsys.data.splits import Split
from recsys.evaluation.ranking_metrics import RankingTask
from recsys.evaluation.rating_metrics import RatingErrors
from recsys.models.base import RatingNetwork


def baseline_metrics(
    dataset: Dataset, split: Split, part: str = "test", ranking: RankingTask | None = None
) -> dict[str, dict[str, float]]:
    """Metrics of each baseline, fitted to the training part, on the pairs of `part`.

    Those that predict ratings are measured by their errors; `popularity` ranks, and is there where `ranking`,
    the task of the part, is given.
    """
    rows = getattr(split, part)
    predictions = {
        "global-mean": np.full(len(rows), dataset.ratings[split.train].mean(dtype=np.float64)),
        "user-item-bias": user_item_bias(dataset, split.train, rows),
    }
    true = torch.from_numpy(dataset.ratings[rows])
    metrics = {
        name: RatingErrors.of(torch.from_numpy(values.clip(*dataset.scale)), true).metrics(part)
        for name, values in predictions.items()
    }
    if ranking is not None:
        metrics["popularity"] = ranking.measure(Popularity(len(dataset.user_ids), ranking.raters))
    return metrics


class Popularity(RatingNetwork):
    """Ranks items by how many training ratings they have: the same list for everybody, but for what they saw.

    Args:
        n_users: how many user rows.
        ratings: int64 (n_items,), training ratings of each item; exact in float32 up to 16 million.
    """

    def __init__(self, n_users: int, ratings: NDArray[np.int64]) -> None:
        super().__init__(n_users, len(ratings), (0, float(ratings.max())), float(ratings.mean()))
        counts = torch.from_numpy(ratings.astype(np.float32))
        self.item_ratings = nn.Embedding.from_pretrained(counts[:, None])

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """How many ratings the items have: (B,) and (B,) to (B,)."""
        return self.item_ratings(items).squeeze(-1)

    def score(self, users: Tensor) -> Tensor:
        """Of every item: (B,) to (B, n_items)."""
        return self.item_ratings.weight.T.repeat(len(users), 1)
