"""The mean training loss of an epoch."""

import torch
from torch import Tensor


class EpochLoss:
    """Sums losses on their device and reads the sum once per epoch: reading one would wait for its step."""

    def __init__(self) -> None:
        self.count = 0
        self._sum = torch.zeros(())

    def add(self, loss: Tensor, n: int) -> None:
        """Add the mean loss of n ratings, in place, so that a CUDA graph can repeat it; `count` is not changed."""
        if self._sum.device != loss.device:
            self._sum = self._sum.to(loss.device)
        self._sum += loss.detach() * n

    def mean(self) -> float:
        """Return the mean over all ratings and start the next epoch."""
        mean = float(self._sum) / max(self.count, 1)
        self._sum.zero_()
        self.count = 0
        return mean

    def state(self) -> tuple[Tensor, int]:
        """Return the sum and the number of ratings."""
        return self._sum.clone(), self.count

    def restore(self, state: tuple[Tensor, int], device: torch.device) -> None:
        """Continue from what `state` has returned."""
        total, self.count = state
        self._sum = total.to(device).clone()
