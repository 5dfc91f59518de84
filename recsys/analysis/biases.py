"""User and item biases to display: those of the network, or of the baseline if the network has none."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import nn

from recsys.data.biases import fit_biases
from recsys.models.base import RatingNetwork
from recsys.models.heads import Linear
from recsys.runs.load import LoadedRun


@dataclass(frozen=True, eq=False)
class DisplayedBiases:
    """Biases in rating points.

    Attributes:
        users: by user index, (n_users,).
        items: by item index, (n_items,).
        source: where they come from, for the caption.
    """

    users: NDArray[np.float64]
    items: NDArray[np.float64]
    source: str


def displayed_biases(network: RatingNetwork, run: LoadedRun) -> DisplayedBiases:
    """Return the network's biases if they are in rating points, else those of the baseline user-item-bias."""
    users, items = _bias(network, "user_bias"), _bias(network, "item_bias")
    if users is not None and items is not None:
        return DisplayedBiases(users, items, "the network")
    fitted = fit_biases(run.dataset, run.split.train)
    source = "the baseline user-item-bias, because the network has no biases in rating points"
    return DisplayedBiases(fitted.users, fitted.items, source)


def _bias(network: RatingNetwork, name: str) -> NDArray[np.float64] | None:
    module = getattr(network, name, None)
    if isinstance(network.head, Linear) and isinstance(module, nn.Embedding) and module.embedding_dim == 1:
        return module.weight.detach().cpu().double().squeeze(1).numpy()
    return None
