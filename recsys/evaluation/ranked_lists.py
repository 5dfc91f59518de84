"""Recommendations of a scorer next to what is relevant: what a ranking metric measures."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class RankedLists:
    """The top k items of U users, best first.

    Attributes:
        k: number of recommendations per user.
        users: int64 (U,); user indices, ascending. Each has at least one relevant item.
        items: int64 (U, k); recommended item indices, -1 where a user has no more recommendations.
        hits: bool (U, k); whether the item at that position is relevant.
        n_relevant: int64 (U,); number of relevant items of each user, recommended or not.
        item_counts: int64 (n_items,); number of training ratings of each item of the catalogue.
        n_trained_users: number of users with training ratings.
    """

    k: int
    users: NDArray[np.int64]
    items: NDArray[np.int64]
    hits: NDArray[np.bool_]
    n_relevant: NDArray[np.int64]
    item_counts: NDArray[np.int64]
    n_trained_users: int
