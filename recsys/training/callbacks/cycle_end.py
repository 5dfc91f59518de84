"""Compare weights at the ends of the schedule's cycles, where the learning rate is low.

Within a cycle, a validation metric says more about the learning rate than about the run. If a schedule has no
cycles, every epoch is a cycle end.
"""

import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint

from recsys.runs.torch_file import check_tensor


def is_cycle_end(trainer: pl.Trainer, cycle_ends: Collection[int]) -> bool:
    """Return whether a cycle ends with the current batch; not at a validation within an epoch (val_check_interval).

    Args:
        trainer: during a validation.
        cycle_ends: epochs, counted from 1.
    """
    return trainer.is_last_batch and trainer.current_epoch + 1 in cycle_ends


class CycleEndCheckpoint(ModelCheckpoint):
    """Keeps the best weights among those at cycle ends.

    Args:
        cycle_ends: epochs, counted from 1.
        options: of Lightning's ModelCheckpoint.
    """

    def __init__(self, cycle_ends: Collection[int], **options: Any) -> None:
        super().__init__(save_on_train_epoch_end=False, **options)  # after validation instead
        self.cycle_ends = cycle_ends

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the weights if they are the best so far."""
        if is_cycle_end(trainer, self.cycle_ends):
            super().on_validation_end(trainer, pl_module)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the best score, with the path that the file has now.

        The paths of the state are not used: the folder may have been moved, and Lightning removes the file or folder
        that they name when a better epoch is saved. Lightning has no public way to replace them;
        tests/training/callbacks/test_cycle_end.py fails if the keys change.
        """
        score = state_dict["best_model_score"]
        if score is None:
            return
        check_tensor(score, (), (torch.float32, torch.float64))
        path = str(Path(str(self.dirpath), f"{self.filename}.ckpt"))
        own = {
            "dirpath": self.dirpath,
            "best_model_path": path,
            "best_k_models": {path: score},
            "kth_best_model_path": path,
            "kth_value": score,
            "last_model_path": "",
        }
        super().load_state_dict(state_dict | own)


class FinalCheckpoint(ModelCheckpoint):
    """Keeps the weights after the last epoch of a training that has no validation set.

    Args:
        epochs: the number of epochs.
        options: of Lightning's ModelCheckpoint.
    """

    def __init__(self, epochs: int, **options: Any) -> None:
        super().__init__(every_n_epochs=epochs, save_on_train_epoch_end=True, **options)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore nothing: the state has only paths, and Lightning would remove the files that they name."""


class LastCheckpoint(ModelCheckpoint):
    """Keeps the state after the last epoch.

    Small states are saved after every epoch. Saving takes at most `SHARE` of the time of a run: after a save of three
    seconds, the next one is a minute later. The last epoch of a run is always saved.

    Args:
        dirpath: folder of the file.

    Attributes:
        is_stopping: returns whether a signal is about to stop the run, which then saves, too.
        saved_step: the step after which the last save took place; -1: none.
    """

    SHARE = 0.05

    def __init__(self, dirpath: Path) -> None:
        super().__init__(dirpath, "last", save_on_train_epoch_end=True, enable_version_counter=False)
        self.is_stopping: Callable[[], bool] = lambda: False
        self.saved_step = -1
        self._next = 0.0  # when the next save is due

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save, if that is due or if the run ends."""
        is_end = trainer.should_stop or trainer.current_epoch + 1 == trainer.max_epochs or self.is_stopping()
        begin = time.monotonic()
        if not trainer.strategy.reduce_boolean_decision(is_end or begin >= self._next, all=False):
            return
        super().on_train_epoch_end(trainer, pl_module)
        self.saved_step = trainer.global_step
        end = time.monotonic()
        self._next = end + (end - begin) * (1 / self.SHARE - 1)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore nothing: the state has only paths, and Lightning would remove the files that they name."""


class CycleEndEarlyStopping(EarlyStopping):
    """Stops when the metric has not improved for `patience` cycle ends.

    Args:
        cycle_ends: epochs, counted from 1.
        options: of Lightning's EarlyStopping.
    """

    def __init__(self, cycle_ends: Collection[int], **options: Any) -> None:
        super().__init__(check_on_train_epoch_end=False, **options)
        self.cycle_ends = cycle_ends

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop if patience is exhausted."""
        if is_cycle_end(trainer, self.cycle_ends):
            super().on_validation_end(trainer, pl_module)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop at once if early stopping had ended the run before it was interrupted."""
        if self.wait_count >= self.patience:
            trainer.should_stop = True
