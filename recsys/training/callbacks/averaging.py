"""Stochastic weight averaging over the ends of the schedule's cycles."""

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor

from recsys.training.module import RatingModule
from recsys.types import PositiveInt


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
        steps_per_epoch = int(trainer.num_training_batches)
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
