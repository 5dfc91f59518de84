"""A loss: what training minimises."""

from collections.abc import Mapping
from typing import Any

from torch import Generator, Tensor
from torch.nn import functional

from recsys.data.batches import Batch
from recsys.models.base import RatingNetwork
from recsys.training.losses import Loss
from recsys.types import PositiveFloat


class Huber(Loss):
    """The Huber loss of predicted ratings: squared for small errors, linear for large ones.

    Args:
        delta: the error, in rating points, from which the loss is linear.
        l2: see `Loss`.
    """

    def __init__(self, delta: PositiveFloat = 1.0, l2: Mapping[str, Any] | None = None) -> None:
        super().__init__(l2)
        self.delta = delta

    def __call__(self, network: RatingNetwork, batch: Batch, generator: Generator | None = None) -> Tensor:
        """Return the mean loss over the ratings of a batch."""
        predictions = network(batch.users, batch.items)
        return functional.huber_loss(predictions, batch.ratings, delta=self.delta)
