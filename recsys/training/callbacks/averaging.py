"""Averages of the weights at the ends of the schedule's cycles."""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import WeightAveraging

from recsys.training.module import RatingModule
from recsys.types import PositiveInt


class CycleEndAveraging(WeightAveraging):
    """The equal average of the weights at the ends of cycles, wherever weights are measured or saved.

    This is SWA (Izmailov et al. 2018, Averaging Weights Leads to Wider Optima and Better Generalization).

    Until there is one, that is the weights as they are after an epoch.

    Args:
        first_cycle: the first one, counted from 1, whose end counts.
    """

    def __init__(self, first_cycle: PositiveInt = 1) -> None:
        super().__init__(use_buffers=False)  # there is nothing in them to average
        self.first_cycle = first_cycle
        self._first, self._steps = 0, set[int]()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Learn after which steps cycles end."""
        assert isinstance(pl_module, RatingModule)
        cycles, steps_per_epoch = sorted(pl_module.ends), int(trainer.num_training_batches)
        first, *later = cycles[self.first_cycle - 1 :] or cycles[-1:]
        self._first = first * steps_per_epoch
        self._steps = {epoch * steps_per_epoch for epoch in (*range(1, first), first, *later)}

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """After a last step: Lightning's hook at an epoch's end comes when validation is over."""
        return step_idx is not None and step_idx + 1 in self._steps

    def on_train_batch_end(self, trainer: pl.Trainer, *others: Any) -> None:
        """Update; what is there before the first end is a copy that counts for nothing."""
        super().on_train_batch_end(trainer, *others)
        if trainer.global_step < self._first and self._average_model is not None:
            self._average_model.n_averaged.zero_()
