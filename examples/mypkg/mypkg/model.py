"""A model: a network with its own options, from user and item indices to scores."""

from collections.abc import Sequence

from torch import Tensor, nn

from recsys.models.base import RatingNetwork
from recsys.types import PositiveInt


class MyNet(RatingNetwork):
    """score = b_u + b_i - |p_u - q_i|^2: users rate items higher that are close to them.

    Args:
        n_users: number of users.
        n_items: number of items.
        scale: the lowest and the highest rating.
        mean: the mean rating of the training set.
        width: length of the vectors p_u and q_i.
    """

    def __init__(
        self, n_users: int, n_items: int, scale: Sequence[float], mean: float, width: PositiveInt = 16
    ) -> None:
        super().__init__(n_users, n_items, scale, mean)
        self.user_bias = nn.Embedding(n_users, 1)
        self.item_bias = nn.Embedding(n_items, 1)
        self.user_vector = nn.Embedding(n_users, width)
        self.item_vector = nn.Embedding(n_items, width)
        for bias in (self.user_bias, self.item_bias):
            nn.init.zeros_(bias.weight)
        for vector in (self.user_vector, self.item_vector):
            nn.init.normal_(vector.weight, std=0.1)

    def logits(self, users: Tensor, items: Tensor) -> Tensor:
        """Return scores of pairs: user and item indices (B,) to (B,)."""
        distance = (self.user_vector(users) - self.item_vector(items)).square().sum(1)
        return (self.user_bias(users) + self.item_bias(items)).squeeze(1) - distance
