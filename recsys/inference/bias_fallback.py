"""Predictions for unknown users and items: mean + user bias + item bias of the training set."""

import numpy as np
import torch
from numpy.typing import NDArray

from recsys.data.biases import Biases
from recsys.models.scoring import top_k


def predict_biases(
    biases: Biases, users: NDArray[np.int32], items: NDArray[np.int32], scale: tuple[float, float]
) -> NDArray[np.float64]:
    """Return ratings clipped to the scale.

    Args:
        biases: of the training set.
        users: user indices (n,); -1 for an unknown user, whose bias is 0.
        items: item indices (n,); -1 for an unknown item, whose bias is 0.
        scale: the lowest and the highest rating.
    """
    user_bias = np.where(users >= 0, biases.users[users], 0)
    item_bias = np.where(items >= 0, biases.items[items], 0)
    return (biases.mean + user_bias + item_bias).clip(*scale)


def top_items_by_bias(
    biases: Biases, k: int, allowed: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the k items with the highest biases, for a user whose bias is 0.

    Args:
        biases: of the training set.
        k: number of items.
        allowed: bool (n_items,), items to choose from, or None for all.

    Returns:
        Unclipped ratings in descending order and item indices, both (min(k, n_items),); the rating is -inf where
        no items are left.
    """
    scores = (biases.mean + biases.items).astype(np.float32)
    if allowed is not None:
        scores[~allowed] = -np.inf
    values, items = top_k(torch.from_numpy(scores)[None], k)
    return values[0].numpy(), items[0].numpy()
