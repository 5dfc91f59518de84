"""Learning-rate schedules, stepped per batch. Lengths are in epochs; they are converted to steps here only.

A schedule is an object. It is called with (optimizer, steps per epoch, epochs of the run) and returns one of torch's
schedulers; the learning rate given to the optimizer is the highest one. It knows at which epochs its cycles end,
where the learning rate is lowest and runs can be compared. A schedule of your own is a subclass of `Schedule` that
implements `__call__`.
"""

import logging
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le
from torch.optim import Optimizer, lr_scheduler

from recsys.types import Fraction, PositiveFloat, PositiveInt

log = logging.getLogger(__name__)

Share = Annotated[float, Ge(0), Le(1)]


class Schedule(ABC):
    """The base class of schedules; without further methods, a schedule without cycles."""

    @abstractmethod
    def __call__(
        self, optimizer: Optimizer, steps_per_epoch: int, max_epochs: int
    ) -> lr_scheduler.LRScheduler:
        """Return a scheduler for a run of `max_epochs` epochs with `steps_per_epoch` batches each."""

    def cycle_ends(self, max_epochs: int) -> set[int]:
        """Return the epochs, counted from 1, after which weights are compared; the last one is always included.

        Without cycles, weights can be compared after any epoch.
        """
        return set(range(1, max_epochs + 1))

    def patience_in_cycles(self, epochs: int) -> int:
        """Return a patience in epochs as a number of cycles, rounded up; without cycles, every epoch is one."""
        return epochs


@dataclass(frozen=True)
class CosineRestarts(Schedule):
    """Cosine annealing with warm restarts (Loshchilov and Hutter 2017, SGDR).

    Attributes:
        cycle_epochs: length of the first cycle; a cycle longer than the run is shortened to it.
        cycle_mult: each cycle is this many times as long as the one before.
        floor: the lowest learning rate, as a share of the highest.
    """

    cycle_epochs: PositiveFloat = 4
    cycle_mult: PositiveInt = 1
    floor: Share = 0.01

    def __call__(
        self, optimizer: Optimizer, steps_per_epoch: int, max_epochs: int
    ) -> lr_scheduler.LRScheduler:
        """Return torch's scheduler; the rate falls along half a cosine, then jumps back."""
        period = max(1, round(_shortened(self.cycle_epochs, max_epochs) * steps_per_epoch))
        lowest = self.floor * optimizer.param_groups[0]["lr"]
        return lr_scheduler.CosineAnnealingWarmRestarts(optimizer, period, self.cycle_mult, lowest)

    def cycle_ends(self, max_epochs: int) -> set[int]:
        """Return the last epoch of each cycle; a cycle that ends within an epoch counts for the one before."""
        return _cycle_ends(self.cycle_epochs, self.cycle_mult, max_epochs)

    def patience_in_cycles(self, epochs: int) -> int:
        """Return a patience in cycles of the first one's length, rounded up."""
        return math.ceil(epochs / max(1, self.cycle_epochs))


@dataclass(frozen=True)
class OneCycle(Schedule):
    """One rise and one long fall over the whole run (Smith and Topin 2018, super-convergence).

    Attributes:
        warm_up: the share of the run in which the rate rises.
    """

    warm_up: Fraction = 0.25

    def __call__(
        self, optimizer: Optimizer, steps_per_epoch: int, max_epochs: int
    ) -> lr_scheduler.LRScheduler:
        """Return torch's scheduler; the optimizer's learning rate is the peak."""
        return lr_scheduler.OneCycleLR(
            optimizer,
            optimizer.param_groups[0]["lr"],
            total_steps=steps_per_epoch * max_epochs,
            pct_start=self.warm_up,
            cycle_momentum=False,
        )

    def cycle_ends(self, max_epochs: int) -> set[int]:
        """Return the last epoch: the only cycle ends there."""
        return {max_epochs}


@dataclass(frozen=True)
class Triangular(Schedule):
    """Linear rises and falls (Smith 2017, cyclical learning rates).

    Attributes:
        mode: equal peaks, peaks halved from cycle to cycle, or peaks multiplied by `gamma` in each step.
        cycle_epochs: length of one rise and fall; a cycle longer than the run is shortened to it.
        floor: the lowest learning rate, as a share of the peak.
        gamma: for mode exp_range.
    """

    mode: Literal["triangular", "triangular2", "exp_range"] = "triangular"
    cycle_epochs: PositiveFloat = 2
    floor: Share = 0.1
    gamma: Annotated[float, Gt(0), Le(1)] = 0.9995

    def __call__(
        self, optimizer: Optimizer, steps_per_epoch: int, max_epochs: int
    ) -> lr_scheduler.LRScheduler:
        """Return torch's scheduler; the optimizer's learning rate is the peak."""
        peak = optimizer.param_groups[0]["lr"]
        cycle = max(2, round(_shortened(self.cycle_epochs, max_epochs) * steps_per_epoch))
        return lr_scheduler.CyclicLR(
            optimizer,
            self.floor * peak,
            peak,
            step_size_up=cycle // 2,
            step_size_down=cycle - cycle // 2,  # an odd step goes to the fall, so that cycles match epochs
            mode=self.mode,
            gamma=self.gamma,
            cycle_momentum=False,
        )

    def cycle_ends(self, max_epochs: int) -> set[int]:
        """Return the last epoch of each cycle; a cycle that ends within an epoch counts for the one before."""
        return _cycle_ends(self.cycle_epochs, 1, max_epochs)

    def patience_in_cycles(self, epochs: int) -> int:
        """Return a patience in whole cycles, rounded up."""
        return math.ceil(epochs / max(1, self.cycle_epochs))


@dataclass(frozen=True)
class Constant(Schedule):
    """A constant learning rate."""

    def __call__(
        self, optimizer: Optimizer, steps_per_epoch: int, max_epochs: int
    ) -> lr_scheduler.LRScheduler:
        """Return a scheduler that changes nothing."""
        return lr_scheduler.ConstantLR(optimizer, factor=1.0, total_iters=0)


def _cycle_ends(length: float, factor: int, max_epochs: int) -> set[int]:
    if length <= 1 and factor == 1:  # a cycle ends in every epoch; the loop would run once per cycle
        return set(range(1, max_epochs + 1))
    ends, end = {max_epochs}, float(length)
    while end < max_epochs:
        ends.add(max(1, math.floor(end)))
        length *= factor
        end += length
    return ends


def _shortened(cycle_epochs: float, max_epochs: int) -> float:
    """Return the length of a cycle, at most that of the run."""
    if cycle_epochs > max_epochs:
        log.warning("schedule.cycle_epochs=%g: shortened to max_epochs=%d", cycle_epochs, max_epochs)
    return min(cycle_epochs, max_epochs)
