"""Stop on Ctrl-C, SIGTERM or SIGUSR1 after the current step, with a checkpoint to resume from."""

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf
from pytorch_lightning.callbacks import Callback

from recsys.errors import RunError, Stopped
from recsys.runs.folder import FIRST_TRAINING, checkpoint_in, resume_command
from recsys.runs.processes import STOP_SIGNALS, is_unhandled, raise_on_signals
from recsys.runs.record import recorded_config
from recsys.runs.trust import names_other_code
from recsys.training.callbacks.cycle_end import LastCheckpoint

STEPS_TO_AGREEMENT = 10  # an agreement takes as long as a short step

log = logging.getLogger(__name__)


class StopOnSignal(Callback):
    """Stops a run after the step in which a signal arrived, and saves its state in last.ckpt.

    A second signal ends the run at once; last.ckpt is then that of the last epoch.

    The processes of a distributed run agree every few steps whether one of them has received a signal, and then all
    stop; the run resumes from the last epoch. Lightning's handlers communicate with the other processes whenever a
    signal arrives. In the middle of a step, in which the processes communicate, too, that never ends.

    Args:
        folder: of the run.

    Raises:
        Stopped: names the step and the command that resumes the run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.received: int | None = None
        self._previous: dict[int, Any] = {}
        self._is_first = True  # of the processes

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Replace Lightning's signal handlers, which end a run without saving."""
        self._is_first = trainer.is_global_zero
        for last in _last_checkpoints(trainer):
            last.is_stopping = lambda: self.received is not None
        for number in STOP_SIGNALS:
            try:
                before = signal.signal(number, self._receive)
                is_lightnings = number == signal.SIGTERM and trainer.world_size > 1  # see above
                self._previous[number] = signal.SIG_DFL if is_lightnings else before
            except ValueError:  # not in the main thread, where alone handlers can be set
                return

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save and stop, but not before the validation that follows the last step of an epoch.

        Gradients are not saved: the run stops after an optimizer step, not between accumulated batches.
        """
        has_stepped = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if trainer.world_size > 1:
            if trainer.global_step % STEPS_TO_AGREEMENT == 0 and self._is_any_stopped(trainer):
                self._stop(trainer)
        elif self.received is not None and not trainer.is_last_batch and has_stepped:
            trainer.save_checkpoint(checkpoint_in(self.folder, "last"), weights_only=False)
            self._stop(trainer)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop between two epochs, if the previous one was saved; otherwise the run stops after the next step."""
        if trainer.world_size > 1:
            if self._is_any_stopped(trainer):
                self._stop(trainer)
        elif self.received is not None:
            is_saved = any(last.saved_step == trainer.global_step for last in _last_checkpoints(trainer))
            if is_saved:
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
            if self._is_first:
                name = signal.Signals(number).name
                log.warning("%s: stopping after this step; send it again to stop at once", name)
            return
        self._restore_handlers()
        signal.raise_signal(number)

    def _is_any_stopped(self, trainer: pl.Trainer) -> bool:
        """Return whether any process has received a signal; all processes have to ask at the same time."""
        own = torch.tensor(self.received or 0, device=trainer.strategy.root_device)
        agreed = int(trainer.strategy.reduce(own, reduce_op="max"))
        if agreed:
            self.received = agreed  # otherwise a signal that has arrived meanwhile counts the next time
        return bool(agreed)

    def _stop(self, trainer: pl.Trainer) -> None:
        assert self.received is not None
        raise stopped(self.received, None if trainer.world_size > 1 else trainer.global_step, self.folder)

    def _restore_handlers(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()


def _last_checkpoints(trainer: pl.Trainer) -> list[LastCheckpoint]:
    """Return the callback that saves last.ckpt, though not after each epoch."""
    return [callback for callback in trainer.checkpoint_callbacks if isinstance(callback, LastCheckpoint)]


@contextmanager
def stopped_by_signals(folder: Path) -> Iterator[None]:
    """Turn SIGTERM and SIGUSR1 into `Stopped` during the block: before and after training, which has its own handlers.

    Args:
        folder: of the run.
    """
    # Not those that the caller handles or ignores.
    own = filter(is_unhandled, (signal.SIGTERM, signal.SIGUSR1))
    with raise_on_signals(own, lambda number: stopped(number, None, folder)):
        yield


def stopped(number: int, step: int | None, folder: Path) -> Stopped:
    """Return the error that ends an interrupted run.

    Args:
        number: of the signal.
        step: the last step; None if the run can only be resumed from its last epoch, or from its beginning.
        folder: of the run, or of the first training of a run with refit=true.
    """
    name = signal.Signals(number).name
    if folder.name == FIRST_TRAINING:
        folder = folder.parent
    where = "" if step is None else f" after step {step}"
    whence = " from the last epoch" if step is None and checkpoint_in(folder, "last").is_file() else ""
    command = resume_command(folder, _has_other_code(folder))
    return Stopped(f"stopped by {name}{where}; to resume{whence}: {command}", number)


def _has_other_code(folder: Path) -> bool:
    """Return whether the run in a folder, which this process has started or resumed, needs trust=true."""
    try:
        return names_other_code(OmegaConf.to_container(recorded_config(folder)))
    except RunError:  # the temporary folder of a further process
        return False
