"""Number of torch threads during training on a CPU."""

from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from recsys.models.ops.mlp import MLP

LARGE_BATCH = 8000  # ratings; from here on, two threads were as fast as one


class Threads(Callback):
    """Run the operations of small training steps on one thread.

    An operation of a small network takes a few microseconds, as long as waking a second thread: sharing it
    makes it slower. An MLP splits its rows over the threads instead. Validation, large batches and everything after
    training use all threads per operation.

    Args:
        batch_size: ratings per step.
    """

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self.num_threads = torch.get_num_threads()
        self._is_small = False

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Decide whether a training step is small; let every MLP use all threads."""
        self.num_threads = torch.get_num_threads()
        self._is_small = module.device.type == "cpu" and self.batch_size < LARGE_BATCH
        for mlp in module.modules():
            if isinstance(mlp, MLP):
                mlp.num_threads = self.num_threads

    def on_train_batch_start(
        self, trainer: Trainer, module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Use one thread; set before every step, because a resumed run may start within an epoch."""
        if self._is_small:
            torch.set_num_threads(1)

    def on_validation_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Use all threads."""
        torch.set_num_threads(self.num_threads)

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Restore the number of threads."""
        torch.set_num_threads(self.num_threads)

    def on_exception(self, trainer: Trainer, module: LightningModule, exception: BaseException) -> None:
        """Restore the number of threads."""
        torch.set_num_threads(self.num_threads)
