"""Rows of new users and items that are encoded from ratings without a search: fold-in is compared with them."""

from typing import Literal

import torch
from torch import Tensor

from recsys.models.hybrid import HybridNet
from recsys.runs.folder import checkpoint_in
from recsys.runs.load import LoadedRun
from recsys.runs.ratings import RunRatings
from recsys.training.module import RatingModule

# The vector of a short history is shorter than all that the network was trained on: users of MovieLens have at least 20
# ratings. So it is filled up to this number with average ratings. Selected with --half 0 of fold_in_ranking.py: NDCG@10
# is 0.371 with 20 and 0.363 with 80.
FULL_HISTORY = 20


class RowEncoder:
    """Encodes rows with the formula of `HistoryEncoder`.

    row = base + max(n, 20)^-1/2 (sum over j in R of (y_j + (r_j - mean - b_j - b) x_j) + max(20 - n, 0) y)

    R are the n ratings of the user or item, y is the mean of y_j over all training ratings, and `HistoryEncoder`
    defines the other symbols. `base` is the mean of the other terms over the trained rows.

    Args:
        run: a run with a single network that has histories on this side.
        ratings: its ratings.
        side: users or items. The features of new users are unknown, so their mean is part of `base`. Items are weighted
            by number of ratings, and their features are known.
    """

    def __init__(self, run: LoadedRun, ratings: RunRatings, side: Literal["user", "item"]) -> None:
        network = RatingModule.load_from_checkpoint(checkpoint_in(run.folder)).network.eval()
        assert isinstance(network, HybridNet)
        network.setup_from_data(ratings.dataset, ratings.split.train)
        encoder = network.user_encoder if side == "user" else network.item_encoder
        assert encoder.history is not None
        assert encoder.features is not None
        self.mean, self.history = network.mean, encoder.history
        weights = run.data.trained_users.float()
        if side == "item":
            weights = torch.from_numpy(run.data.item_counts).float() * run.data.trained_items
        with torch.no_grad():
            vectors, biases = encoder.without_history(torch.arange(len(weights)))
            rows = torch.cat([torch.stack(vectors).sum(0), biases], dim=1)
            self.features = torch.cat(encoder.features(), dim=1)  # (n, d + 1)
            if side == "item":
                rows = rows - self.features
        self.base = weights @ rows / weights.sum()
        counts = self.history.column_counts
        self.filler = (counts @ self.history.chosen.weight.detach()) / counts.sum()

    @classmethod
    def of_run(
        cls, run: LoadedRun, ratings: RunRatings, side: Literal["user", "item"]
    ) -> "RowEncoder | None":
        """Return an encoder; None if the run has no histories, or several networks."""
        model = run.result["model"]
        return cls(run, ratings, side) if model["name"] == "history" and model["snapshots"] == 1 else None

    @torch.no_grad()
    def __call__(self, columns: Tensor, ratings: Tensor) -> Tensor:
        """Return vector and bias as one row, (d + 1,); that of an item needs its row of `features` in addition.

        Args:
            columns: item (or user) indices (n,).
            ratings: their ratings (n,).
        """
        n, history = len(columns), self.history
        residuals = ratings - self.mean - history.column_biases[columns]
        residuals = residuals - residuals.sum() / (history.damping + n)
        rated = history.chosen(columns).sum(0) + residuals @ history.liked(columns)
        vector = (rated + max(FULL_HISTORY - n, 0) * self.filler) / max(n, FULL_HISTORY) ** 0.5
        return torch.cat([vector, vector.new_zeros(1)]) + self.base
