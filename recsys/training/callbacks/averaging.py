"""Averages of the weights: over the ends of the schedule's cycles, or exponential over all steps."""

import math
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from recsys.training.module import RatingModule
from recsys.types import Fraction, PositiveInt


class ExponentialAverage(WeightAveraging):
    """The exponential moving average (EMA) of the weights, wherever weights are measured or saved.

    Lightning's EMAWeightAveraging computes the same, parameter by parameter, and reads a counter from the device in
    every step; here all parameters are updated at once.

    Args:
        decay: weight of the average in each step; 0.999 covers about the last thousand steps.
    """

    def __init__(self, decay: Fraction = 0.999) -> None:
        super().__init__(use_buffers=False)  # networks have no buffers to average
        self._update = get_ema_multi_avg_fn(decay)

    @torch.no_grad()
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Update the average after an optimizer step; the first step starts it.

        Lightning has no public access to the averaged model and to the step of its last update.
        """
        if trainer.global_step <= self._latest_update_step:
            return
        assert self._average_model is not None
        averaged, current = list(self._average_model.parameters()), list(pl_module.parameters())
        if self._latest_update_step:
            self._update(averaged, current, 0)
        else:
            for one, other in zip(averaged, current, strict=True):
                one.copy_(other)
        self._latest_update_step = trainer.global_step


class CycleEndAveraging(WeightAveraging):
    """The equal average of the weights at cycle ends, wherever weights are measured or saved.

    This is SWA (Izmailov et al. 2018, Averaging Weights Leads to Wider Optima and Better Generalization). Until
    the first cycle end that counts, it is the weights after each epoch.

    Args:
        first_cycle: the first cycle, counted from 1, whose end counts.
    """

    def __init__(self, first_cycle: PositiveInt = 1) -> None:
        super().__init__(use_buffers=False, avg_fn=self._average)  # networks have no buffers to average
        self.first_cycle = first_cycle
        self._ends: list[int] = []  # steps after which the ends that count are averaged
        self._update_steps = set[int]()
        self._n_ends = 0  # ends averaged so far, including the one that is being averaged

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Find out after which steps cycles end."""
        assert isinstance(pl_module, RatingModule)
        assert trainer.max_epochs is not None
        ends = sorted(pl_module.schedule.cycle_ends(trainer.max_epochs))
        steps_per_epoch = math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches)
        counted = ends[self.first_cycle - 1 :] or ends[-1:]
        self._ends = [epoch * steps_per_epoch for epoch in counted]
        self._update_steps = {epoch * steps_per_epoch for epoch in (*range(1, counted[0]), *counted)}

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """Update after the last step of an epoch: Lightning's hook per epoch runs after validation."""
        if step_idx is None or step_idx + 1 not in self._update_steps:
            return False
        self._n_ends = sum(end <= step_idx + 1 for end in self._ends)
        return True

    def _average(self, averaged: Tensor, current: Tensor, n_averaged: Any) -> Tensor:
        """Return the average with one more end; weights before the first end are replaced."""
        return current if self._n_ends <= 1 else torch.lerp(averaged, current, 1 / self._n_ends)
