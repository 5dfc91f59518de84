"""How high a user rates and a movie is rated: what ratings say without any model of taste."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.data.splits import Rows

# Ratings of the prior mean that every user and movie is given beforehand: the values of Koren 2010,
# "Factor in the neighbors", section 2.1, and of Surprise's BaselineOnly.
MOVIE_DAMPING = 10.0
USER_DAMPING = 15.0


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
