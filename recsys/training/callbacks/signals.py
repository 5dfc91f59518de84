"""Ctrl-C and SIGTERM let the step end, save, and say how to go on."""

import logging
import signal
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from recsys.errors import Stopped
from recsys.runs.folder import checkpoint_in, resume_command
from recsys.runs.processes import STOP_SIGNALS

log = logging.getLogger(__name__)


class StopOnSignal(Callback):
    """Ends a run after the step in which a signal came, with all of its state in last.ckpt.

    A second signal ends it at once; what the end of the last epoch has saved is there then. Runs of several
    processes would have to agree on the step, so they keep Lightning's way and go on from the last epoch.

    Args:
        folder: of the run.

    Raises:
        Stopped: with the step, and the command that goes on.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the signals over from Lightning, which ends a run without saving."""
        if trainer.world_size > 1:
            return
        for number in STOP_SIGNALS:
            try:
                self._before[number] = signal.signal(number, self._receive)
            except ValueError:  # not the main thread: whoever started us there takes care of signals
                return

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save and stop; after an epoch's last step its validation comes first."""
        if self.received is not None and not trainer.is_last_batch:
            trainer.save_checkpoint(checkpoint_in(self.folder, "last"), weights_only=False)
            self._stop(trainer)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop between two epochs: the end of the one before has saved everything."""
        if self.received is not None:
            self._stop(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Give the signals back; a run that has finished training is as good as done."""
        self._give_back()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Give the signals back."""
        self._give_back()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received is None:
            self.received = number
            log.warning("%s: ends after this step; once more: at once", signal.Signals(number).name)
            return
        self._give_back()
        signal.raise_signal(number)

    def _stop(self, trainer: pl.Trainer) -> None:
        assert self.received is not None
        raise stopped(self.received, trainer.global_step, self.folder)

    def _give_back(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()


def stopped(number: int, step: int, folder: Path) -> Stopped:
    """The words to end with.

    Args:
        number: of the signal.
        step: the last one.
        folder: of the run.
    """
    name = signal.Signals(number).name
    return Stopped(f"stopped by {name} after step {step}; to go on: {resume_command(folder)}", number)
