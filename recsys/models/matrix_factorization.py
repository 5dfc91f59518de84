"""Biased matrix factorization: the simplest strong model of ratings."""

from collections.abc import Sequence

from torch import Tensor, nn

from recsys.models.base import RatingNetwork
from recsys.models.heads import Head
from recsys.models.table_scorer import Table, TableScorer
from recsys.types import NonNegativeFloat, PositiveInt


class MatrixFactorization(RatingNetwork):
    """score = b_u + b_i + p_u . q_i (Koren, Bell and Volinsky 2009, equation 4).

    Args:
        n_users: number of users.
        n_items: number of items.
        scale: the lowest and the highest rating.
        mean: the mean rating of the training set.
        rating_values: the distinct ratings, ascending; needed by head="ordinal".
        embedding_dim: length of p_u and q_i.
        init_std: their initial standard deviation; small, so that training starts from the biases.
        head: from scores to ratings: "linear" (mean + score), "sigmoid" or "ordinal".
        margin: how far a sigmoid extends beyond the scale, in rating points.
    """

    is_static = True

    def __init__(
        self,
        n_users: int,
        n_items: int,
        scale: Sequence[float],
        mean: float,
        rating_values: Sequence[float] = (),
        embedding_dim: PositiveInt = 64,
        init_std: NonNegativeFloat = 0.01,
        head: Head = "linear",
        margin: NonNegativeFloat = 0.5,
    ) -> None:
        super().__init__(n_users, n_items, scale, mean, rating_values, head, margin)
        self.user_bias = nn.Embedding(n_users, 1)
        self.item_bias = nn.Embedding(n_items, 1)
        self.user_embedding = nn.Embedding(n_users, embedding_dim)
        self.item_embedding = nn.Embedding(n_items, embedding_dim)
        nn.init.zeros_(self.user_bias.weight)
        nn.init.zeros_(self.item_bias.weight)
        nn.init.normal_(self.user_embedding.weight, std=init_std)
        nn.init.normal_(self.item_embedding.weight, std=init_std)

    def logits(self, users: Tensor, items: Tensor) -> Tensor:
        """Return scores of pairs: (B,) and (B,) to (B,)."""
        biases = (self.user_bias(users) + self.item_bias(items)).squeeze(-1)  # (B,)
        product = (self.user_embedding(users) * self.item_embedding(items)).sum(-1)  # (B,)
        return biases + product

    def scorer(self, predicts_ratings: bool = True) -> TableScorer:
        """Return a scorer of biases and vectors."""
        users = Table(self.user_embedding.weight, self.user_bias.weight)
        items = Table(self.item_embedding.weight, self.item_bias.weight)
        return TableScorer.copy_of(users, items, self.head, self.scale, predicts_ratings)
