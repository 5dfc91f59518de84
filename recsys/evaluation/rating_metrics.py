"""Rating metrics, pooled over all pairs of a part: clipped to the scale, nothing dropped."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from recsys.data.batches import Batch
from recsys.models.base import RatingNetwork


@dataclass
class RatingErrors:
    """Sums over pairs, from which the metrics follow: never a mean of batch or user means.

    Attributes:
        squared: sum of squared errors, float64.
        absolute: sum of absolute errors, float64.
        pairs: how many.
    """

    squared: float = 0.0
    absolute: float = 0.0
    pairs: int = 0

    @classmethod
    def of(cls, predicted: Tensor, true: Tensor) -> "RatingErrors":
        """Errors of predictions (B,) against ratings (B,); summed in float64 on the CPU, which has it."""
        error = (predicted - true).cpu().double()
        return cls(float(error.square().sum()), float(error.abs().sum()), error.numel())

    def metrics(self, part: str) -> dict[str, float]:
        """`<part>/rmse` and `<part>/mae`."""
        if self.pairs == 0:
            raise ValueError(f"no {part} pairs to measure")
        return {f"{part}/rmse": (self.squared / self.pairs) ** 0.5, f"{part}/mae": self.absolute / self.pairs}

    def to_tensor(self, device: torch.device | str = "cpu") -> Tensor:
        """float64 (3,), for adding up over processes."""
        return torch.tensor([self.squared, self.absolute, self.pairs], dtype=torch.float64, device=device)

    @classmethod
    def from_tensor(cls, sums: Tensor) -> "RatingErrors":
        """The reverse of `to_tensor`."""
        squared, absolute, pairs = sums.tolist()
        return cls(squared, absolute, round(pairs))


@torch.no_grad()
def measure(network: RatingNetwork, batches: Iterable[Batch]) -> RatingErrors:
    """Errors of a network over all pairs of `batches`, with dropout off, on the network's own device."""
    device = next(network.parameters()).device
    was_training = network.training
    network.eval()
    predicted, true = [], []
    for users, items, ratings in batches:
        predicted.append(network.predict(users.to(device), items.to(device)).cpu())
        true.append(ratings.cpu())
    network.train(was_training)
    return RatingErrors.of(torch.cat(predicted), torch.cat(true))
