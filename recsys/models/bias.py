"""User and movie biases alone: the baseline every network has to beat, as a network."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recsys.models.network import RatingNetwork


class Bias(RatingNetwork):
    """rating = mean + b_u + b_m (Koren, Bell and Volinsky 2009, equation 3)."""

    def __init__(self, n_users: int, n_movies: int, scale: Sequence[float], mean: float) -> None:
        super().__init__(n_users, n_movies, scale, mean)
        self.user_bias = nn.Embedding(n_users, 1)
        self.movie_bias = nn.Embedding(n_movies, 1)
        nn.init.zeros_(self.user_bias.weight)
        nn.init.zeros_(self.movie_bias.weight)

    def forward(self, users: Tensor, movies: Tensor) -> Tensor:
        """Ratings of pairs: (B,) and (B,) to (B,)."""
        return self.mean + (self.user_bias(users) + self.movie_bias(movies)).squeeze(-1)

    @torch.no_grad()
    def score(self, users: Tensor) -> Tensor:
        """Every movie's rating: (B,) to (B, n_movies)."""
        return self.mean + self.user_bias(users) + self.movie_bias.weight.T
