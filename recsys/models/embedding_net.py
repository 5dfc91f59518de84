"""The network of Ilia Zaitsev's 2018 article: two embeddings, side by side, through layers of any depth."""

from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import MinLen
from torch import Tensor, nn

from recsys.limits import DropoutRate, NonNegativeFloat, PositiveInt
from recsys.models.dropout import Dropout
from recsys.models.network import RatingNetwork

VALUES_AT_ONCE = 1 << 19  # of a layer while scoring: 2 MB, which a processor's cache holds


class EmbeddingNet(RatingNetwork):
    """Concatenated embeddings -> dropout -> [Linear, ReLU, dropout] x depth -> Linear -> bounded rating.

    A sigmoid, stretched `margin` beyond both ends of the scale so that the ends themselves can be reached,
    bounds the output. Embeddings start uniform in (-0.05, 0.05), linear layers Xavier-uniform with biases of
    0.01, as in the article.

    Args:
        n_users: how many user rows.
        n_movies: how many movie rows.
        scale: the lowest and the highest rating possible.
        mean: the mean rating of the training part; not used.
        embedding_dim: the length of a user's and of a movie's vector.
        hidden: widths of the layers; a number is one layer, an empty list none.
        dropouts: dropout after each layer; a list's last value repeats for the layers beyond it.
        embedding_dropout: dropout on the concatenated vectors.
        margin: how far the sigmoid reaches beyond the scale, in rating points.
    """

    def __init__(
        self,
        n_users: int,
        n_movies: int,
        scale: Sequence[float],
        mean: float,
        embedding_dim: PositiveInt = 50,
        hidden: PositiveInt | list[PositiveInt] = 100,
        dropouts: DropoutRate | Annotated[list[DropoutRate], MinLen(1)] = 0.2,
        embedding_dropout: DropoutRate = 0.02,
        margin: NonNegativeFloat = 0.5,
    ) -> None:
        super().__init__(n_users, n_movies, scale, mean)
        widths = [hidden] if isinstance(hidden, int) else list(hidden)
        rates = list(dropouts) if isinstance(dropouts, Sequence) else [dropouts]
        self.user_embedding = nn.Embedding(n_users, embedding_dim)
        self.movie_embedding = nn.Embedding(n_movies, embedding_dim)
        layers: list[nn.Module] = [Dropout(embedding_dropout)]
        width_in = 2 * embedding_dim
        for depth, width in enumerate(widths):
            layers += [nn.Linear(width_in, width), nn.ReLU(), Dropout(rates[min(depth, len(rates) - 1)])]
            width_in = width
        self.layers = nn.Sequential(*layers, nn.Linear(width_in, 1))
        self.low, self.high = self.scale[0] - margin, self.scale[1] + margin
        self._initialise()

    def forward(self, users: Tensor, movies: Tensor) -> Tensor:
        """Ratings of pairs: (B,) and (B,) to (B,)."""
        vectors = torch.cat([self.user_embedding(users), self.movie_embedding(movies)], dim=1)  # (B, 2d)
        return self._bounded(self.layers(vectors).squeeze(-1).float())

    @torch.no_grad()
    def score(self, users: Tensor) -> Tensor:
        """Every movie's rating: (B,) to (B, n_movies).

        The first layer is linear in the concatenated vectors, W [u; m] + b = (W_u u + b) + W_m m, so each
        user's and each movie's part is computed once, and a pair costs their sum and the layers above.
        """
        first, above = self.layers[1], self.layers[2:]  # layers[0] is dropout, which is off
        assert isinstance(first, nn.Linear)
        of_user, of_movie = first.weight.split(self.user_embedding.embedding_dim, dim=1)  # (h, d) each
        user_part = nn.functional.linear(self.user_embedding(users), of_user, first.bias)  # (B, h)
        movie_part = self.movie_embedding.weight @ of_movie.T  # (n_movies, h)
        scores = torch.empty(len(users), self.n_movies, device=users.device)
        widest = max(layer.out_features for layer in self.layers if isinstance(layer, nn.Linear))
        at_once = max(1, VALUES_AT_ONCE // widest)  # pairs
        chunk = min(self.n_movies, at_once)
        for movies, columns in zip(movie_part.split(chunk), scores.split(chunk, dim=1), strict=True):
            few = max(1, at_once // chunk)
            for part, out in zip(user_part.split(few), columns.split(few), strict=True):
                out.copy_(above(movies + part.unsqueeze(1)).squeeze(-1))  # (few, chunk, h) to (few, chunk)
        return self._bounded(scores)

    def _bounded(self, logits: Tensor) -> Tensor:
        return self.low + (self.high - self.low) * torch.sigmoid(logits)

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Embedding):
                nn.init.uniform_(module.weight, -0.05, 0.05)
            elif isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.constant_(module.bias, 0.01)
