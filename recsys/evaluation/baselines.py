"""What a run is measured against: predictions that need no network."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recsys.data.dataset import Dataset
from recsys.data.splits import Rows, Split
from recsys.evaluation.ranking_metrics import RankingTask
from recsys.evaluation.rating_metrics import RatingErrors
from recsys.models.network import RatingNetwork

# Ratings of the prior mean that every user and movie is given beforehand: the values of Koren 2010,
# "Factor in the neighbors", section 2.1, and of Surprise's BaselineOnly.
MOVIE_DAMPING = 10.0
USER_DAMPING = 15.0


def baseline_metrics(
    dataset: Dataset, split: Split, part: str = "test", ranking: RankingTask | None = None
) -> dict[str, dict[str, float]]:
    """Metrics of each baseline, fitted to the training part, on the pairs of `part`.

    Those that predict ratings are measured by their errors; `popularity` ranks, and is there where `ranking`,
    the task of the part, is given.
    """
    rows = getattr(split, part)
    predictions = {
        "global-mean": np.full(len(rows), dataset.ratings[split.train].mean(dtype=np.float64)),
        "user-movie-bias": user_movie_bias(dataset, split.train, rows),
    }
    true = torch.from_numpy(dataset.ratings[rows])
    metrics = {
        name: RatingErrors.of(torch.from_numpy(values.clip(*dataset.scale)), true).metrics(part)
        for name, values in predictions.items()
    }
    if ranking is not None:
        metrics["popularity"] = ranking.measure(Popularity(len(dataset.user_ids), ranking.raters))
    return metrics


class Popularity(RatingNetwork):
    """Ranks films by how many training ratings they have: the same list for everybody, but for what they saw.

    Args:
        n_users: how many user rows.
        ratings: int64 (n_movies,), training ratings of each film; exact in float32 up to 16 million.
    """

    def __init__(self, n_users: int, ratings: NDArray[np.int64]) -> None:
        super().__init__(n_users, len(ratings), (0, float(ratings.max())), float(ratings.mean()))
        counts = torch.from_numpy(ratings.astype(np.float32))
        self.movie_ratings = nn.Embedding.from_pretrained(counts[:, None])

    def forward(self, users: Tensor, movies: Tensor) -> Tensor:
        """How many ratings the films have: (B,) and (B,) to (B,)."""
        return self.movie_ratings(movies).squeeze(-1)

    def score(self, users: Tensor) -> Tensor:
        """Of every film: (B,) to (B, n_movies)."""
        return self.movie_ratings.weight.T.repeat(len(users), 1)


@dataclass(frozen=True, eq=False)
class Biases:
    """rating = mean + b_u + b_m.

    Attributes:
        mean: of the ratings fitted to.
        users: b_u, (n_users,); 0 for a user without ratings.
        movies: b_m, (n_movies,); 0 for a movie without ratings.
    """

    mean: float
    users: NDArray[np.float64]
    movies: NDArray[np.float64]


def fit_biases(dataset: Dataset, train: Rows, rounds: int = 10) -> Biases:
    """Fit mean + b_u + b_m by alternating damped averages (Koren 2010).

    b_m = sum over its raters of (r - mean - b_u) / (10 + their number), then b_u likewise with 15: the exact
    minimiser of the squared error plus 10 sum b_m^2 + 15 sum b_u^2 in each variable, `rounds` times over.

    Args:
        dataset: the ratings.
        train: rows to fit to.
        rounds: how often; ten are plenty.
    """
    users, movies = dataset.users[train], dataset.movies[train]
    ratings = dataset.ratings[train].astype(np.float64)
    mean = ratings.mean()
    user_bias = np.zeros(len(dataset.user_ids))
    movie_bias = np.zeros(len(dataset.movie_ids))
    for _ in range(rounds):
        movie_bias = _damped_mean(movies, ratings - mean - user_bias[users], len(movie_bias), MOVIE_DAMPING)
        user_bias = _damped_mean(users, ratings - mean - movie_bias[movies], len(user_bias), USER_DAMPING)
    return Biases(float(mean), user_bias, movie_bias)


def user_movie_bias(dataset: Dataset, train: Rows, rows: Rows, rounds: int = 10) -> NDArray[np.float64]:
    """Predictions of `fit_biases` for `rows`: unclipped, shape (len(rows),)."""
    biases = fit_biases(dataset, train, rounds)
    return biases.mean + biases.users[dataset.users[rows]] + biases.movies[dataset.movies[rows]]


def _damped_mean(rows: NDArray, values: NDArray, n: int, damping: float) -> NDArray[np.float64]:
    return np.bincount(rows, values, n) / (np.bincount(rows, minlength=n) + damping)
