"""A small network of a configuration, built without data to check its options."""

import inspect
from typing import TYPE_CHECKING, Any

from hydra.utils import get_class

if TYPE_CHECKING:
    from recsys.models.base import RatingNetwork


def build_small_network(node: dict[str, Any]) -> "RatingNetwork":
    """Return a network of two users and two items, which takes no memory.

    Args:
        node: cfg.model as plain values.
    """
    import torch

    facts = {
        "n_users": 2,
        "n_items": 2,
        "scale": [1.0, 5.0],
        "mean": 3.0,
        "rating_values": [1.0, 2.0, 3.0, 4.0, 5.0],
        "n_item_features": 1,
        "n_user_features": 1,
    }
    options = dict(node)
    network_class = get_class(options.pop("_target_"))
    accepted = inspect.signature(network_class).parameters
    with torch.device("meta"):
        return network_class(**{name: fact for name, fact in facts.items() if name in accepted} | options)
