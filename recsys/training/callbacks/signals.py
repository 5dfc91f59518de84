"""Stop on Ctrl-C, SIGTERM or SIGUSR1 after the current step, with a checkpoint to resume from."""

import logging
import signal
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from recsys.errors import Stopped
from recsys.runs.folder import FIRST_TRAINING, checkpoint_in, resume_command
from recsys.runs.processes import STOP_SIGNALS

log = logging.getLogger(__name__)


class StopOnSignal(Callback):
    """Stops a run after the step in which a signal arrived, and saves its state in last.ckpt.

    A second signal ends the run at once; last.ckpt is then that of the last epoch. Runs of several processes would
    have to agree on a step, so they are left to Lightning, and resume from the last epoch.

    Args:
        folder: of the run.

    Raises:
        Stopped: names the step and the command that resumes the run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.received: int | None = None
        self._previous: dict[int, Any] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Replace Lightning's signal handlers, which end a run without saving."""
        if trainer.world_size > 1:
            return
        for number in STOP_SIGNALS:
            try:
                self._previous[number] = signal.signal(number, self._receive)
            except ValueError:  # not in the main thread, where alone handlers can be set
                return

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save and stop, but not before the validation that follows the last step of an epoch."""
        if self.received is not None and not trainer.is_last_batch:
            trainer.save_checkpoint(checkpoint_in(self.folder, "last"), weights_only=False)
            self._stop(trainer)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop between two epochs: everything was saved at the end of the previous one."""
        if self.received is not None:
            self._stop(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restore the previous handlers."""
        self._restore_handlers()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Restore the previous handlers."""
        self._restore_handlers()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received is None:
            self.received = number
            name = signal.Signals(number).name
            log.warning("%s: stopping after this step; send it again to stop at once", name)
            return
        self._restore_handlers()
        signal.raise_signal(number)

    def _stop(self, trainer: pl.Trainer) -> None:
        assert self.received is not None
        raise stopped(self.received, trainer.global_step, self.folder)

    def _restore_handlers(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()


def stopped(number: int, step: int, folder: Path) -> Stopped:
    """Return the error that ends an interrupted run.

    Args:
        number: of the signal.
        step: the last step.
        folder: of the run, or of the first training of a run with refit=true.
    """
    name = signal.Signals(number).name
    if folder.name == FIRST_TRAINING:
        folder = folder.parent
    return Stopped(f"stopped by {name} after step {step}; to resume: {resume_command(folder)}", number)
