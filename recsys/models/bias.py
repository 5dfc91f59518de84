"""User and item biases alone: the baseline that every network has to beat, as a network."""

from collections.abc import Sequence

from torch import Tensor, nn

from recsys.models.base import RatingNetwork
from recsys.models.heads import Head
from recsys.models.table_scorer import Table, TableScorer
from recsys.types import NonNegativeFloat


class Bias(RatingNetwork):
    """score = b_u + b_i (Koren, Bell and Volinsky 2009, equation 3); see `RatingNetwork` for the arguments."""

    is_static = True

    def __init__(
        self,
        n_users: int,
        n_items: int,
        scale: Sequence[float],
        mean: float,
        rating_values: Sequence[float] = (),
        head: Head = "linear",
        margin: NonNegativeFloat = 0.5,
    ) -> None:
        super().__init__(n_users, n_items, scale, mean, rating_values, head, margin)
        self.user_bias = nn.Embedding(n_users, 1)
        self.item_bias = nn.Embedding(n_items, 1)
        nn.init.zeros_(self.user_bias.weight)
        nn.init.zeros_(self.item_bias.weight)

    def logits(self, users: Tensor, items: Tensor) -> Tensor:
        """Return scores of pairs: (B,) and (B,) to (B,)."""
        return (self.user_bias(users) + self.item_bias(items)).squeeze(-1)

    def scorer(self, predicts_ratings: bool = True) -> TableScorer:
        """Return a scorer of the biases."""
        users, items = Table(None, self.user_bias.weight), Table(None, self.item_bias.weight)
        return TableScorer.copy_of(users, items, self.head, self.scale, predicts_ratings)
