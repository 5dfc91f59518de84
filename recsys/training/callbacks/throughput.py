"""Training speed in ratings per second."""

import time
from typing import Any

import pytorch_lightning as pl
import torch

from recsys.data.batches import Batch

WARM_UP_STEPS = 10  # the first steps include allocations and the choice of kernels


class Throughput(pl.Callback):
    """Measure ratings and wall time from the start of each epoch, including shuffling, to its last batch.

    Set-up, validation, checkpoints and the first `WARM_UP_STEPS` steps of the run are excluded. A resumed run
    continues the counts of its last checkpoint.

    Args:
        begin: start of the run, a value of `time.perf_counter`.
    """

    def __init__(self, begin: float = 0.0) -> None:
        self.ratings = 0
        self.seconds = 0.0
        self.begin = begin
        self._start: float | None = None

    @property
    def elapsed(self) -> float:
        """Seconds since the start of the run, including the time before it was resumed."""
        return time.perf_counter() - self.begin

    def state_dict(self) -> dict[str, Any]:
        """Return the counts to continue from after a resume."""
        return {"ratings": self.ratings, "seconds": self.seconds + self._running, "elapsed": self.elapsed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the counts of a checkpoint."""
        self.ratings, self.seconds = state_dict["ratings"], state_dict["seconds"]
        self.begin -= state_dict["elapsed"]

    @property
    def ratings_per_second(self) -> float:
        """Training speed; 0 if the run was too short to measure it."""
        return self.ratings / self.seconds if self.seconds else 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Start the clock."""
        self._start_clock(trainer, module)

    def on_train_batch_start(
        self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, index: int
    ) -> None:
        """Start the clock at the end of the warm-up."""
        self._start_clock(trainer, module)

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Batch, index: int
    ) -> None:
        """Count the batch; stop the clock at the last batch of the epoch."""
        if self._start is None:
            return
        self.ratings += len(batch.ratings) * trainer.world_size
        if trainer.is_last_batch:
            self._synchronise(module)
            self.seconds += self._running
            self._start = None

    @property
    def _running(self) -> float:
        """Seconds on the clock, within an epoch."""
        return 0.0 if self._start is None else time.perf_counter() - self._start

    def _start_clock(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if self._start is None and trainer.global_step >= WARM_UP_STEPS:
            self._synchronise(module)
            self._start = time.perf_counter()

    def _synchronise(self, module: pl.LightningModule) -> None:
        if module.device.type == "cuda":
            torch.cuda.synchronize(module.device)
