"""Threads while training on a CPU: one for each operation, all of them for the pieces of a batch."""

from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from recsys.models.ops.mlp import MLP

LARGE = 8000  # ratings of a batch; from here on, two threads were as fast as one


class Threads(Callback):
    """Shares out a step among torch's threads in the way that is fastest.

    An operation of a small network takes a few microseconds, and so does waking the thread that is to do half
    of it: shared out, it is slower. Layers share out the rows of a batch instead (`recsys.models.ops.mlp`).
    Validation, large batches and whatever comes after training share every operation, as torch does.

    Args:
        batch_size: ratings of a step.
    """

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self.threads = torch.get_num_threads()

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Layers get all threads."""
        self.threads = torch.get_num_threads()
        for part in module.modules():
            if isinstance(part, MLP):
                part.cores = self.threads

    def on_train_batch_start(
        self, trainer: Trainer, module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """An operation gets one; said before every step, for a run may go on in the middle of an epoch."""
        if module.device.type == "cpu" and self.batch_size < LARGE:
            torch.set_num_threads(1)

    def on_validation_start(self, trainer: Trainer, module: LightningModule) -> None:
        """An operation gets all."""
        torch.set_num_threads(self.threads)

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Leave the threads as they were."""
        torch.set_num_threads(self.threads)

    def on_exception(self, trainer: Trainer, module: LightningModule, exception: BaseException) -> None:
        """Leave the threads as they were."""
        torch.set_num_threads(self.threads)
