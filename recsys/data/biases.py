"""How high a user rates and a item is rated: what ratings say without any model of taste."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.data.splits import Rows

# Ratings of the prior mean that every user and item is given beforehand: the values of Koren 2010,
# "Factor in the neighbors", section 2.1, and of Surprise's BaselineOnly.
ITEM_DAMPING = 10.0
USER_DAMPING = 15.0


@dataclass(frozen=True, eq=False)
class Biases:
    """rating = mean + b_u + b_m.

    Attributes:
        mean: of the ratings fitted to.
        users: b_u, (n_users,); 0 for a user without ratings.
        items: b_m, (n_items,); 0 for a item without ratings.
    """

    mean: float
    users: NDArray[np.float64]
    items: NDArray[np.float64]


def fit_biases(dataset: Dataset, train: Rows, rounds: int = 10) -> Biases:
    """Fit mean + b_u + b_m by alternating damped averages (Koren 2010).

    b_m = sum over its raters of (r - mean - b_u) / (10 + their number), then b_u likewise with 15: the exact
    minimiser of the squared error plus 10 sum b_m^2 + 15 sum b_u^2 in each variable, `rounds` times over.

    Args:
        dataset: the ratings.
        train: rows to fit to.
        rounds: how often; ten are plenty.
    """
    users, items = dataset.users[train], dataset.items[train]
    ratings = dataset.ratings[train].astype(np.float64)
    mean = ratings.mean()
    user_bias = np.zeros(len(dataset.user_ids))
    item_bias = np.zeros(len(dataset.item_ids))
    for _ in range(rounds):
        item_bias = _damped_mean(items, ratings - mean - user_bias[users], len(item_bias), ITEM_DAMPING)
        user_bias = _damped_mean(users, ratings - mean - item_bias[items], len(user_bias), USER_DAMPING)
    return Biases(float(mean), user_bias, item_bias)


def user_item_bias(dataset: Dataset, train: Rows, rows: Rows, rounds: int = 10) -> NDArray[np.float64]:
    """Predictions of `fit_biases` for `rows`: unclipped, shape (len(rows),)."""
    biases = fit_biases(dataset, train, rounds)
    return biases.mean + biases.users[dataset.users[rows]] + biases.items[dataset.items[rows]]


def _damped_mean(rows: NDArray, values: NDArray, n: int, damping: float) -> NDArray[np.float64]:
    return np.bincount(rows, values, n) / (np.bincount(rows, minlength=n) + damping)
