"""The vectors of new users, encoded from what they have rated."""

import torch
from torch import Tensor, nn

from recsys.models.encoders import Encoder

# The vector of a short history is shorter than all that the network was trained on: users of MovieLens have at least 20
# ratings. So it is filled up to this number. The value was selected on validation users, see docs/fold-in.md.
FULL_HISTORY = 20


class NewUserEncoder(nn.Module):
    """Encodes a user without training ratings from their ratings, with the formula of `HistoryEncoder`.

    p = base + max(n, 20)^-1/2 (sum over j in R of (y_j + (r_j - mean - b_j - b) x_j) + max(20 - n, 0) y)

    R are the n items that the user has rated, and `HistoryEncoder` defines the other symbols. `base` is the mean, over
    trained users, of their id embeddings and of what their features contribute. A short history is filled up with
    average items: y is the mean of y_j over all training ratings.

    Args:
        n_items: number of items.
        dim: length d of the vectors.
        mean: the mean rating of the training set.
        damping: number of additional residuals of 0 in b.

    Attributes:
        chosen: y_j, (n_items, d).
        liked: x_j, (n_items, d).
        item_biases: b_j, (n_items,).
        filler: y, (d,).
        base: with the mean bias as last element, (d + 1,).
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
