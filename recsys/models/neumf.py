"""Biases, a dot product and layers together, over vectors that can carry more than an id."""

from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import MinLen
from torch import Tensor, nn

from recsys.data.biases import user_movie_bias
from recsys.data.dataset import Dataset
from recsys.data.splits import Rows
from recsys.limits import DropoutRate, NonNegativeFloat, PositiveInt
from recsys.models.features import movie_features
from recsys.models.heads import Head
from recsys.models.history import History
from recsys.models.layers import all_pairs, stack
from recsys.models.network import RatingNetwork


class NeuMF(RatingNetwork):
    """score = b_u + b_m + p_u . q_m + layers([p_u; q_m]), and a head that makes a rating of it.

    Both paths of NeuMF (He et al. 2017, Neural Collaborative Filtering) share their vectors, and biases join
    them. p_u is the user's own row plus, with `history`, what they have rated (see `recsys.models.history`);
    q_m is the movie's own row plus, with `features`, the rows of its genres and of its years, which also have
    biases: a factorization machine over these (Rendle 2010), since their products with p_u are all there.

    In evaluation mode the history stands in a table of its own, `user_history`, so that the network needs no
    ratings any more; it then holds all that the user has rated.

    Args:
        n_users: how many user rows.
        n_movies: how many movie rows.
        scale: the lowest and the highest rating possible.
        mean: the mean rating of the training part.
        levels: the different ratings there are; needed by head="ordinal".
        n_features: how many features a movie has; needed by `features`.
        embedding_dim: the length d of a user's and of a movie's vector.
        hidden: widths of the layers; a number is one layer, an empty list leaves the layers out.
        dropouts: dropout after each layer; a list's last value repeats for the layers beyond it.
        embedding_dropout: dropout on the vectors where they enter the layers.
        history: whether a user's vector carries what they have rated.
        features: whether a movie's vector carries its genres and years.
        head: "linear" (mean + score), "sigmoid" or "ordinal".
        margin: how far a sigmoid reaches beyond the scale, in rating points.
        init_std: standard deviation of all vectors at the start.
    """

    features: Tensor
    history: History | None
    layers: nn.Sequential | None

    def __init__(
        self,
        n_users: int,
        n_movies: int,
        scale: Sequence[float],
        mean: float,
        levels: Sequence[float] = (),
        n_features: int = 0,
        embedding_dim: PositiveInt = 32,
        hidden: PositiveInt | list[PositiveInt] = 64,
        dropouts: DropoutRate | Annotated[list[DropoutRate], MinLen(1)] = 0.2,
        embedding_dropout: DropoutRate = 0.5,
        history: bool = False,
        features: bool = False,
        head: Head = "linear",
        margin: NonNegativeFloat = 0.5,
        init_std: NonNegativeFloat = 0.05,
    ) -> None:
        super().__init__(n_users, n_movies, scale, mean, levels, head, margin)
        d = embedding_dim
        self.user_embedding, self.movie_embedding = nn.Embedding(n_users, d), nn.Embedding(n_movies, d)
        self.user_bias, self.movie_bias = nn.Embedding(n_users, 1), nn.Embedding(n_movies, 1)
        for table in (self.user_embedding, self.movie_embedding):
            nn.init.normal_(table.weight, std=init_std)
        for table in (self.user_bias, self.movie_bias):
            nn.init.zeros_(table.weight)
        self.history = History(n_movies, d, init_std) if history else None
        if history:
            self.user_history = nn.Embedding(n_users, d, _weight=torch.zeros(n_users, d), _freeze=True)
        self.feature_rows = nn.Linear(n_features, d + 1, bias=False) if features else None
        if self.feature_rows is not None:
            nn.init.normal_(self.feature_rows.weight, std=0.01)
            self.register_buffer("features", torch.zeros(n_movies, n_features))
        self.layers = stack(2 * d, hidden, dropouts, embedding_dropout) if hidden != [] else None

    def logits(self, users: Tensor, movies: Tensor) -> Tensor:
        """Scores of pairs, before the head: (B,) and (B,) to (B,)."""
        user, movie, biases = self.user_embedding(users), self.movie_embedding(movies), self.user_bias(users)
        biases = biases + self.movie_bias(movies)
        if self.history is not None:
            reads = self.training and self.history.knows
            user = user + (self.history(users, movies) if reads else self.user_history(users))
        if self.feature_rows is not None:
            vector, bias = self.feature_rows(self.features[movies]).split([movie.shape[1], 1], dim=1)
            movie, biases = movie + vector, biases + bias
        scores = biases.squeeze(-1) + (user * movie).sum(-1)
        return (
            scores if self.layers is None else scores + self.layers(torch.cat([user, movie], 1)).squeeze(-1)
        )

    @torch.no_grad()
    def score(self, users: Tensor) -> Tensor:
        """Every movie's rating: (B,) to (B, n_movies)."""
        user, movie, biases = self.user_embedding(users), self.movie_embedding.weight, self.movie_bias.weight
        if self.history is not None:
            user = user + self.user_history(users)
        if self.feature_rows is not None:
            vector, bias = self.feature_rows(self.features).split([movie.shape[1], 1], dim=1)
            movie, biases = movie + vector, biases + bias
        scores = torch.addmm(biases.T, user, movie.T).float().add_(self.user_bias(users))
        if self.layers is not None:
            scores += all_pairs(self.layers, user, movie)
        return self.head(scores)

    def learn_facts(self, dataset: Dataset, train: Rows) -> None:
        """Take over the movies' features and the training part's ratings, as far as they are used."""
        if self.feature_rows is not None:
            self.features.copy_(movie_features(dataset.catalogue))
        if self.history is not None:
            residuals = dataset.ratings[train] - user_movie_bias(dataset, train, train)
            self.history.remember(dataset.users[train], dataset.movies[train], residuals, self.n_users)

    def train(self, mode: bool = True) -> "NeuMF":
        """Switch between training and evaluation; for the latter, write down everybody's history."""
        if not mode and self.history is not None and self.history.knows:
            self.user_history.weight.copy_(self.history.everybody())
        return super().train(mode)

    def for_evaluation(self) -> "RatingNetwork":
        """A copy as it is now, without the ratings that histories are made of."""
        other = super().for_evaluation()
        for module in other.modules():
            if isinstance(module, History):
                module.forget()
        return other
