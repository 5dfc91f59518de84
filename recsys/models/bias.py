"""User and item biases alone: the baseline every network has to beat, as a network."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recsys.models.base import RatingNetwork
from recsys.models.heads import Head
from recsys.models.ops.all_pairs import Precision
from recsys.types import NonNegativeFloat


class Bias(RatingNetwork):
    """score = b_u + b_m (Koren, Bell and Volinsky 2009, equation 3); the arguments are `RatingNetwork`'s."""

    def __init__(
        self,
        n_users: int,
        n_items: int,
        scale: Sequence[float],
        mean: float,
        levels: Sequence[float] = (),
        head: Head = "linear",
        margin: NonNegativeFloat = 0.5,
    ) -> None:
        super().__init__(n_users, n_items, scale, mean, levels, head, margin)
        self.user_bias = nn.Embedding(n_users, 1)
        self.item_bias = nn.Embedding(n_items, 1)
        nn.init.zeros_(self.user_bias.weight)
        nn.init.zeros_(self.item_bias.weight)

    def logits(self, users: Tensor, items: Tensor) -> Tensor:
        """Scores of pairs: (B,) and (B,) to (B,)."""
        return (self.user_bias(users) + self.item_bias(items)).squeeze(-1)

    @torch.no_grad()
    def score(self, users: Tensor, precision: Precision = "fp32") -> Tensor:
        """Every item's rating: (B,) to (B, n_items)."""
        return self.head(self.user_bias(users) + self.item_bias.weight.T)
