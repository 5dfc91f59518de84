"""How fast training is: ratings seen by the wall time inside training epochs."""

import time
from typing import Any

import pytorch_lightning as pl
import torch

from recsys.data.batches import Batch

WARM_UP_STEPS = 10  # the first ones pay for allocations and kernel choices


class Throughput(pl.Callback):
    """Counts ratings and seconds from the start of every epoch, shuffling included, to its last batch.

    Set-up, validation and checkpoints lie outside; so do the first `WARM_UP_STEPS` steps of the run.
    """

    def __init__(self) -> None:
        self.ratings = 0
        self.seconds = 0.0
        self._start: float | None = None

    @property
    def ratings_per_second(self) -> float:
        """0 where the run was too short to tell."""
        return self.ratings / self.seconds if self.seconds else 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Start the clock."""
        self._start_clock(trainer, module)

    def on_train_batch_start(
        self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, index: int
    ) -> None:
        """Start the clock in the epoch in which the warm-up ends."""
        self._start_clock(trainer, module)

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Batch, index: int
    ) -> None:
        """Count the batch; stop the clock at the epoch's last one."""
        if self._start is None:
            return
        self.ratings += len(batch.ratings) * trainer.world_size
        if trainer.is_last_batch:
            self._wait(module)
            self.seconds += time.perf_counter() - self._start
            self._start = None

    def _start_clock(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if self._start is None and trainer.global_step >= WARM_UP_STEPS:
            self._wait(module)
            self._start = time.perf_counter()

    def _wait(self, module: pl.LightningModule) -> None:
        if module.device.type == "cuda":
            torch.cuda.synchronize(module.device)
