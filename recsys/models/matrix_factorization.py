"""Biased matrix factorization: the plainest strong model of ratings."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recsys.limits import NonNegativeFloat, PositiveInt
from recsys.models.heads import Head
from recsys.models.network import RatingNetwork


class MatrixFactorization(RatingNetwork):
    """score = b_u + b_m + p_u . q_m (Koren, Bell and Volinsky 2009, equation 4).

    Args:
        n_users: how many user rows.
        n_movies: how many movie rows.
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
        n_movies: int,
        scale: Sequence[float],
        mean: float,
        levels: Sequence[float] = (),
        embedding_dim: PositiveInt = 64,
        init_std: NonNegativeFloat = 0.01,
        head: Head = "linear",
        margin: NonNegativeFloat = 0.5,
    ) -> None:
        super().__init__(n_users, n_movies, scale, mean, levels, head, margin)
        self.user_bias = nn.Embedding(n_users, 1)
        self.movie_bias = nn.Embedding(n_movies, 1)
        self.user_embedding = nn.Embedding(n_users, embedding_dim)
        self.movie_embedding = nn.Embedding(n_movies, embedding_dim)
        nn.init.zeros_(self.user_bias.weight)
        nn.init.zeros_(self.movie_bias.weight)
        nn.init.normal_(self.user_embedding.weight, std=init_std)
        nn.init.normal_(self.movie_embedding.weight, std=init_std)

    def logits(self, users: Tensor, movies: Tensor) -> Tensor:
        """Scores of pairs: (B,) and (B,) to (B,)."""
        biases = (self.user_bias(users) + self.movie_bias(movies)).squeeze(-1)  # (B,)
        product = (self.user_embedding(users) * self.movie_embedding(movies)).sum(-1)  # (B,)
        return biases + product

    @torch.no_grad()
    def score(self, users: Tensor) -> Tensor:
        """Every movie's rating, by one matrix product: (B,) to (B, n_movies)."""
        product = torch.addmm(
            self.movie_bias.weight.T, self.user_embedding(users), self.movie_embedding.weight.T
        )
        return self.head(product.add_(self.user_bias(users)))
