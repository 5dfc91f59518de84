"""The vectors of new users, encoded from what they have rated."""

import torch
from torch import Tensor, nn

from recsys.models.encoders import Encoder

# The length of a history vector grows with the root of the number of ratings, so one of few ratings is shorter than all
# that the network was trained on: in MovieLens, users have at least 20. Value chosen by docs/fold-in.md.
FULL_HISTORY = 20


class NewUserEncoder(nn.Module):
    """Computes the vector of a user without training ratings as a `HistoryEncoder` computes those of the others.

    p = base + max(n, 20)^-1/2 (sum over j in R of (y_j + (r_j - mean - b_j - b) x_j) + max(20 - n, 0) y)

    R are the n items that the user has rated. `base` is the mean of the other terms of trained users' vectors, and y
    the mean of y_j over all training ratings: a short history is filled up with average items.

    Args:
        n_items: number of items.
        dim: length d of the vectors.
        mean: the mean rating of the training set.
        damping: number of additional residuals of 0 in b.
    """

    chosen: Tensor
    liked: Tensor
    item_biases: Tensor
    filler: Tensor
    base: Tensor

    def __init__(self, n_items: int, dim: int, mean: float, damping: float) -> None:
        super().__init__()
        self.mean, self.damping = mean, damping
        self.register_buffer("chosen", torch.zeros(n_items, dim))
        self.register_buffer("liked", torch.zeros(n_items, dim))
        self.register_buffer("item_biases", torch.zeros(n_items))
        self.register_buffer("filler", torch.zeros(dim))
        self.register_buffer("base", torch.zeros(dim + 1))

    @torch.no_grad()
    def fill(self, encoder: Encoder, trained: Tensor) -> None:
        """Copy what the encoder of users has learned.

        Args:
            encoder: with a history.
            trained: bool (n_users,); which users have training ratings.
        """
        history = encoder.history
        assert history is not None
        self.chosen, self.liked = history.chosen.weight.clone(), history.liked.weight.clone()
        self.item_biases = history.column_biases.to(self.chosen.device)
        counts = history.column_counts.to(self.chosen.device)
        self.filler = (counts @ self.chosen) / counts.sum()
        self.base = encoder.mean_without_history(trained)

    def forward(self, items: Tensor, ratings: Tensor) -> Tensor:
        """Return vector and bias of a user as one row, (d + 1,).

        Args:
            items: item indices (n,).
            ratings: their ratings (n,).
        """
        n = len(items)
        residuals = ratings - self.mean - self.item_biases[items]
        residuals = residuals - residuals.sum() / (self.damping + n)
        rated = self.chosen[items].sum(0) + residuals @ self.liked[items]
        vector = (rated + max(FULL_HISTORY - n, 0) * self.filler) / max(n, FULL_HISTORY) ** 0.5
        return torch.cat([vector, vector.new_zeros(1)]) + self.base
