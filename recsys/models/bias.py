"""User and movie biases alone: the baseline every network has to beat, as a network."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recsys.limits import NonNegativeFloat
from recsys.models.heads import Head
from recsys.models.network import RatingNetwork


class Bias(RatingNetwork):
    """score = b_u + b_m (Koren, Bell and Volinsky 2009, equation 3); the arguments are `RatingNetwork`'s."""

    def __init__(
        self,
        n_users: int,
        n_movies: int,
        scale: Sequence[float],
        mean: float,
        levels: Sequence[float] = (),
        head: Head = "linear",
        margin: NonNegativeFloat = 0.5,
    ) -> None:
        super().__init__(n_users, n_movies, scale, mean, levels, head, margin)
        self.user_bias = nn.Embedding(n_users, 1)
        self.movie_bias = nn.Embedding(n_movies, 1)
        nn.init.zeros_(self.user_bias.weight)
        nn.init.zeros_(self.movie_bias.weight)

    def logits(self, users: Tensor, movies: Tensor) -> Tensor:
        """Scores of pairs: (B,) and (B,) to (B,)."""
        return (self.user_bias(users) + self.movie_bias(movies)).squeeze(-1)

    @torch.no_grad()
    def score(self, users: Tensor) -> Tensor:
        """Every movie's rating: (B,) to (B, n_movies)."""
        return self.head(self.user_bias(users) + self.movie_bias.weight.T)
