"""Biased matrix factorization: the plainest strong model of ratings."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recsys.models.base import RatingNetwork
from recsys.models.heads import Head
from recsys.models.ops.all_pairs import Precision
from recsys.types import NonNegativeFloat, PositiveInt


class MatrixFactorization(RatingNetwork):
    """score = b_u + b_m + p_u . q_m (Koren, Bell and Volinsky 2009, equation 4).

    Args:
        n_users: how many user rows.
        n_items: how many item rows.
        scale: the lowest and the highest rating possible.
        mean: the mean rating of the training part.
        levels: the different ratings there are; needed by head="ordinal".
        embedding_dim: the length of p_u and q_m.
        init_std: their standard deviation at the start; small, so that training starts at the biases.
        head: what makes a rating of a score: "linear" (mean + score), "sigmoid" or "ordinal".
        margin: how far a sigmoid reaches beyond the scale, in rating points.
    """

    def __init__(
        self,
        n_users: int,
        n_items: int,
        scale: Sequence[float],
        mean: float,
        levels: Sequence[float] = (),
        embedding_dim: PositiveInt = 64,
        init_std: NonNegativeFloat = 0.01,
        head: Head = "linear",
        margin: NonNegativeFloat = 0.5,
    ) -> None:
        super().__init__(n_users, n_items, scale, mean, levels, head, margin)
        self.user_bias = nn.Embedding(n_users, 1)
        self.item_bias = nn.Embedding(n_items, 1)
        self.user_embedding = nn.Embedding(n_users, embedding_dim)
        self.item_embedding = nn.Embedding(n_items, embedding_dim)
        nn.init.zeros_(self.user_bias.weight)
        nn.init.zeros_(self.item_bias.weight)
        nn.init.normal_(self.user_embedding.weight, std=init_std)
        nn.init.normal_(self.item_embedding.weight, std=init_std)

    def logits(self, users: Tensor, items: Tensor) -> Tensor:
        """Scores of pairs: (B,) and (B,) to (B,)."""
        biases = (self.user_bias(users) + self.item_bias(items)).squeeze(-1)  # (B,)
        product = (self.user_embedding(users) * self.item_embedding(items)).sum(-1)  # (B,)
        return biases + product

    @torch.no_grad()
    def score(self, users: Tensor, precision: Precision = "fp32") -> Tensor:
        """Every item's rating, by one matrix product: (B,) to (B, n_items)."""
        product = torch.addmm(
            self.item_bias.weight.T, self.user_embedding(users), self.item_embedding.weight.T
        )
        return self.head(product.add_(self.user_bias(users)))
