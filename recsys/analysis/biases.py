"""User and item biases to display: those of the network, or of the baseline if the network has none."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.models.scorer import Scorer
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


def displayed_biases(scorer: Scorer, run: LoadedRun) -> DisplayedBiases:
    """Return the scorer's biases if they are in rating points, else those of the baseline user-item-bias."""
    users, items = scorer.biases("user"), scorer.biases("item")
    if users is not None and items is not None:
        return DisplayedBiases(users.cpu().double().numpy(), items.cpu().double().numpy(), "the network")
    source = "the baseline user-item-bias, because the network has no biases in rating points"
    return DisplayedBiases(run.data.biases.users, run.data.biases.items, source)
