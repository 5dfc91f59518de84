"""Who rates high and what is rated high: the network's biases, or the baseline's where it has none."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import nn

from recsys.data.biases import fit_biases
from recsys.models.base import RatingNetwork
from recsys.models.heads import Linear
from recsys.runs.load import LoadedRun


@dataclass(frozen=True, eq=False)
class Biases:
    """How far ratings lie above what they would be otherwise, by user and by item row.

    Attributes:
        users: (n_users,).
        items: (n_items,).
        source: whose they are, in words.
    """

    users: NDArray[np.float64]
    items: NDArray[np.float64]
    source: str


def biases_of(run: LoadedRun) -> Biases:
    """The network's `user_bias` and `item_bias`; without them in rating points, the damped baseline's."""
    users, items = (_bias(run.trained.network, name) for name in ("user_bias", "item_bias"))
    if users is not None and items is not None:
        return Biases(users, items, "the network's")
    fitted = fit_biases(run.dataset, run.split.train)
    told = "of the baseline user-item-bias, since the network has none in rating points"
    return Biases(fitted.users, fitted.items, told)


def _bias(network: RatingNetwork, name: str) -> NDArray[np.float64] | None:
    module = getattr(network, name, None)
    if isinstance(network.head, Linear) and isinstance(module, nn.Embedding) and module.embedding_dim == 1:
        return module.weight.detach().cpu().double().squeeze(1).numpy()
    return None
