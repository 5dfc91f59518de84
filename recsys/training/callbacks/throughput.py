"""How fast training is: ratings seen by the wall time inside training epochs."""

import time
from typing import Any

import pytorch_lightning as pl
import torch

from recsys.data.batches import Batch

WARM_UP_STEPS = 10  # the first ones pay for allocations and kernel choices


class Throughput(pl.Callback):
    """Counts ratings and seconds from the start of every epoch, shuffling included, to its last batch.

    Set-up, validation and checkpoints lie outside; so do the first `WARM_UP_STEPS` steps of the run. A run
    that goes on counts on from its last checkpoint.

    Args:
        begin: when the run began, of `time.perf_counter`.
    """

    def __init__(self, begin: float = 0.0) -> None:
        self.ratings = 0
        self.seconds = 0.0
        self.begin = begin
        self._start: float | None = None

    @property
    def elapsed(self) -> float:
        """Seconds that the run has taken in all."""
        return time.perf_counter() - self.begin

    def state_dict(self) -> dict[str, Any]:
        """What to count on from."""
        return {"ratings": self.ratings, "seconds": self.seconds, "elapsed": self.elapsed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Count on."""
        self.ratings, self.seconds = state_dict["ratings"], state_dict["seconds"]
        self.begin -= state_dict["elapsed"]

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
