"""Learning-rate schedules, stepped per batch. Lengths are in epochs and become steps here and nowhere else.

Each function takes an optimizer, the steps of one epoch and the epochs of the run, and returns one of torch's
own schedulers; the learning rate that the optimizer was given is the highest one.
"""

import logging
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le
from torch.optim import Optimizer, lr_scheduler

from recsys.types import Fraction, PositiveFloat, PositiveInt

log = logging.getLogger(__name__)

Share = Annotated[float, Ge(0), Le(1)]


def cosine_restarts(
    optimizer: Optimizer,
    steps_per_epoch: int,
    max_epochs: int,
    *,
    cycle_epochs: PositiveFloat = 2,
    cycle_mult: PositiveInt = 1,
    floor: Share = 0.1,
) -> lr_scheduler.LRScheduler:
    """Cosine annealing with warm restarts (Loshchilov and Hutter 2017, SGDR).

    Args:
        optimizer: whose learning rate falls from its own value along half a cosine, then jumps back.
        steps_per_epoch: batches in an epoch.
        max_epochs: epochs of the run; a longer cycle is shortened to it.
        cycle_epochs: length of the first cycle.
        cycle_mult: each cycle is this many times as long as the one before.
        floor: the lowest learning rate, as a share of the highest.
    """
    period = max(1, round(_fit(cycle_epochs, max_epochs) * steps_per_epoch))
    lowest = floor * optimizer.param_groups[0]["lr"]
    return lr_scheduler.CosineAnnealingWarmRestarts(optimizer, period, cycle_mult, lowest)


def one_cycle(
    optimizer: Optimizer, steps_per_epoch: int, max_epochs: int, *, warm_up: Fraction = 0.25
) -> lr_scheduler.LRScheduler:
    """One rise and one long fall over the whole run (Smith and Topin 2018, super-convergence).

    Args:
        optimizer: whose learning rate is the peak.
        steps_per_epoch: batches in an epoch.
        max_epochs: epochs of the run.
        warm_up: the share of the run in which the rate rises.
    """
    peak = optimizer.param_groups[0]["lr"]
    return lr_scheduler.OneCycleLR(
        optimizer, peak, total_steps=steps_per_epoch * max_epochs, pct_start=warm_up, cycle_momentum=False
    )


def triangular(
    optimizer: Optimizer,
    steps_per_epoch: int,
    max_epochs: int,
    *,
    mode: Literal["triangular", "triangular2", "exp_range"] = "triangular",
    cycle_epochs: PositiveFloat = 2,
    floor: Share = 0.1,
    gamma: Annotated[float, Gt(0), Le(1)] = 0.9995,
) -> lr_scheduler.LRScheduler:
    """Straight up and straight down again (Smith 2017, cyclical learning rates).

    Args:
        optimizer: whose learning rate is the peak.
        steps_per_epoch: batches in an epoch.
        max_epochs: epochs of the run; a longer cycle is shortened to it.
        mode: equal peaks, peaks halved from cycle to cycle, or peaks that shrink by `gamma` per step.
        cycle_epochs: length of one rise and fall.
        floor: the lowest learning rate, as a share of the peak.
        gamma: for mode exp_range.
    """
    peak = optimizer.param_groups[0]["lr"]
    cycle = max(2, round(_fit(cycle_epochs, max_epochs) * steps_per_epoch))
    return lr_scheduler.CyclicLR(
        optimizer,
        floor * peak,
        peak,
        step_size_up=cycle // 2,
        step_size_down=cycle - cycle // 2,  # an odd step falls, so that cycles stay in step with epochs
        mode=mode,
        gamma=gamma,
        cycle_momentum=False,
    )


def constant(optimizer: Optimizer, steps_per_epoch: int, max_epochs: int) -> lr_scheduler.LRScheduler:
    """The learning rate as it is."""
    return lr_scheduler.ConstantLR(optimizer, factor=1.0, total_iters=0)


def cycle_ends(schedule: Mapping[str, Any], max_epochs: int) -> set[int]:
    """Epochs, counted from 1, after which the learning rate is as low as it gets: where runs can be compared.

    A cycle that ends inside an epoch counts for the one before. The last epoch always is one; a schedule
    without cycles is as good after any epoch, one with a single cycle only after its last.

    Args:
        schedule: conf/schedule as plain values.
        max_epochs: epochs of the run.
    """
    if schedule["_target_"].endswith(".one_cycle"):
        return {max_epochs}
    if (length := schedule.get("cycle_epochs")) is None:
        return set(range(1, max_epochs + 1))
    ends, end = {max_epochs}, float(length)
    while end < max_epochs:
        ends.add(max(1, math.floor(end)))
        length *= schedule.get("cycle_mult", 1)
        end += length
    return ends


def in_cycles(epochs: int, schedule: Mapping[str, Any]) -> int:
    """As many epochs in cycles of the first one's length, rounded up; without cycles, every epoch is one."""
    return math.ceil(epochs / max(1, schedule.get("cycle_epochs", 1)))


def _fit(cycle_epochs: float, max_epochs: int) -> float:
    """The cycle's length, no longer than the run."""
    if cycle_epochs > max_epochs:
        log.warning("schedule.cycle_epochs=%g: shortened to max_epochs=%d", cycle_epochs, max_epochs)
    return min(cycle_epochs, max_epochs)
