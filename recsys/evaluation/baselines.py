"""What a run is measured against: predictions that need no network."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.data.splits import Rows, Split
from recsys.evaluation.rating_metrics import RatingErrors

# Ratings of the prior mean that every user and movie is given beforehand: the values of Koren 2010,
# "Factor in the neighbors", section 2.1, and of Surprise's BaselineOnly.
MOVIE_DAMPING = 10.0
USER_DAMPING = 15.0


def baseline_metrics(dataset: Dataset, split: Split, part: str = "test") -> dict[str, dict[str, float]]:
    """Metrics of each baseline, fitted to the training part, on the pairs of `part`."""
    rows = getattr(split, part)
    predictions = {
        "global-mean": np.full(len(rows), dataset.ratings[split.train].mean(dtype=np.float64)),
        "user-movie-bias": user_movie_bias(dataset, split.train, rows),
    }
    true = torch.from_numpy(dataset.ratings[rows])
    return {
        name: RatingErrors.of(torch.from_numpy(values.clip(*dataset.scale)), true).metrics(part)
        for name, values in predictions.items()
    }


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
