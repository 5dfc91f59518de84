"""Number of torch threads during training on a CPU."""

from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import nn

LARGE_BATCH = 8000  # ratings; from here on, two threads were as fast as one
# Batch size times the number of weights of all linear layers. One thread was faster at 4 million (batches of
# 1000, hidden [64]), two threads at 160 million (batches of 2000, hidden [100, 200, 300]).
LARGE_MLP = 50_000_000


class Threads(Callback):
    """Run the operations of small training steps on one thread.

    An operation of a small network takes a few microseconds, as long as waking a second thread: sharing it
    makes it slower. Validation, large batches, large networks and everything after training use all threads.

    Args:
        batch_size: ratings per step.
    """

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self.num_threads = torch.get_num_threads()
        self._is_small = False

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Decide whether a training step is small."""
        self.num_threads = torch.get_num_threads()
        weights = sum(layer.weight.numel() for layer in module.modules() if isinstance(layer, nn.Linear))
        is_large = self.batch_size >= LARGE_BATCH or self.batch_size * weights >= LARGE_MLP
        self._is_small = module.device.type == "cpu" and not is_large

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
