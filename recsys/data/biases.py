"""The bias model: a rating is predicted from the mean, a user bias and an item bias."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.data.splits import Rows

# Damping: the number of additional residuals of 0 in the average of each bias. The values are those of Koren
# 2010, "Factor in the neighbors", section 2.1, and of BaselineOnly in Surprise.
ITEM_DAMPING = 10.0
USER_DAMPING = 15.0


@dataclass(frozen=True, eq=False)
class Biases:
    """Fitted biases: the prediction is mean + users[user] + items[item].

    Attributes:
        mean: the mean training rating.
        users: user biases, shape (n_users,); 0 for a user without training ratings.
        items: item biases, shape (n_items,); 0 for an item without training ratings.
    """

    mean: float
    users: NDArray[np.float64]
    items: NDArray[np.float64]

    def predict(self, users: NDArray, items: NDArray) -> NDArray[np.float64]:
        """Return unclipped predictions: user indices (n,) and item indices (n,) to (n,)."""
        return self.mean + self.users[users] + self.items[items]


def damped_means(index: NDArray, values: NDArray, n: int, damping: float) -> NDArray[np.float64]:
    """Return the mean of the values of each user or item, with `damping` additional values of 0: (n,).

    Args:
        index: whose values they are, (m,).
        values: (m,).
        n: number of users or items.
        damping: number of additional values.
    """
    return np.bincount(index, values, n) / (np.bincount(index, minlength=n) + damping)


def fit_biases(dataset: Dataset, train: Rows, rounds: int = 10) -> Biases:
    """Fit mean + b_u + b_i by alternating least squares (Koren 2010).

    Each round sets b_i = sum of (r - mean - b_u) over the ratings of item i / (10 + their number), then b_u
    likewise with 15. This minimises the squared error plus 10 sum b_i^2 + 15 sum b_u^2 in one variable while
    the other is fixed.

    Args:
        dataset: the ratings.
        train: the rows to fit to.
        rounds: the number of rounds; ten are enough to converge.
    """
    # intp is what numpy indexes with; other types would be converted again in every round.
    users, items = dataset.users[train].astype(np.intp), dataset.items[train].astype(np.intp)
    ratings = dataset.ratings[train].astype(np.float64)
    mean = ratings.mean()
    deviations = ratings - mean
    n_users, n_items = len(dataset.user_ids), len(dataset.item_ids)
    user_weight = np.bincount(users, minlength=n_users) + USER_DAMPING
    item_weight = np.bincount(items, minlength=n_items) + ITEM_DAMPING
    user_bias, item_bias = np.zeros(n_users), np.zeros(n_items)
    for _ in range(rounds):
        item_bias = np.bincount(items, deviations - user_bias[users], n_items) / item_weight
        user_bias = np.bincount(users, deviations - item_bias[items], n_users) / user_weight
    return Biases(float(mean), user_bias, item_bias)


def user_item_bias(dataset: Dataset, train: Rows, rows: Rows, rounds: int = 10) -> NDArray[np.float64]:
    """Return the unclipped predictions of `fit_biases` for `rows`, shape (len(rows),)."""
    return fit_biases(dataset, train, rounds).predict(dataset.users[rows], dataset.items[rows])
