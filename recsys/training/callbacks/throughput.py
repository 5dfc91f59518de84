"""Training speed in ratings per second."""

import time
from typing import Any

import pytorch_lightning as pl
import torch

from recsys.data.batches import Batch

WARM_UP_STEPS = 10  # the first steps include allocations and the choice of kernels


class Throughput(pl.Callback):
    """Measure ratings and wall time from the start of each epoch, including shuffling, to its last batch.

    Set-up, validation, checkpoints and the first `WARM_UP_STEPS` steps are excluded, and the first batch of each
    length, because a compiled network is compiled again for it. A resumed run continues the counts of its last
    checkpoint.

    Args:
        begin: start of the run, a value of `time.perf_counter`.
    """

    def __init__(self, begin: float = 0.0) -> None:
        self.ratings = 0
        self.seconds = 0.0
        self.begin = begin
        self._start: float | None = None
        self._steps = 0  # of this process
        self._lengths: set[int] = set()

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
        self._start_clock(module)

    def on_train_batch_start(
        self, trainer: pl.Trainer, module: pl.LightningModule, batch: Batch, index: int
    ) -> None:
        """Start the clock at the end of the warm-up; stop it for the first batch of a new length."""
        if len(batch.ratings) in self._lengths:
            self._start_clock(module)
        else:
            self._lengths.add(len(batch.ratings))
            self._stop_clock(module)

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Batch, index: int
    ) -> None:
        """Count the batch; stop the clock at the last batch of the epoch."""
        self._steps += 1
        if self._start is None:
            return
        self.ratings += len(batch.ratings) * trainer.world_size
        if trainer.is_last_batch:
            self._stop_clock(module)

    def on_validation_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Stop the clock for a validation within an epoch; the next batch starts it again."""
        self._stop_clock(module)

    @property
    def _running(self) -> float:
        """Seconds on the clock, within an epoch."""
        return 0.0 if self._start is None else time.perf_counter() - self._start

    def _start_clock(self, module: pl.LightningModule) -> None:
        if self._start is None and self._steps >= WARM_UP_STEPS:
            _synchronise(module)
            self._start = time.perf_counter()

    def _stop_clock(self, module: pl.LightningModule) -> None:
        if self._start is not None:
            _synchronise(module)
            self.seconds += self._running
            self._start = None


def _synchronise(module: pl.LightningModule) -> None:
    """Wait until the device has done all work; does nothing on a CPU."""
    torch.get_device_module(module.device).synchronize()
