"""Compare weights at the ends of the schedule's cycles, where the learning rate is low.

Within a cycle, a validation metric says more about the learning rate than about the run. If a schedule has no
cycles, every epoch is a cycle end.
"""

from collections.abc import Collection
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint


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
        if trainer.current_epoch + 1 in self.cycle_ends:
            super().on_validation_end(trainer, pl_module)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the best score, also if the run's folder was moved.

        Lightning forgets the score if `dirpath` has changed. It has no public way to replace the paths in the
        state; tests/training/callbacks/test_cycle_end.py fails if the keys change.
        """
        moved = str(state_dict["dirpath"]), str(self.dirpath)
        best = state_dict["best_model_path"].replace(*moved)
        scores = {path.replace(*moved): score for path, score in state_dict["best_k_models"].items()}
        now = {"dirpath": self.dirpath, "best_model_path": best, "best_k_models": scores}
        super().load_state_dict(state_dict | now | {"kth_best_model_path": best})


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
        if trainer.current_epoch + 1 in self.cycle_ends:
            super().on_validation_end(trainer, pl_module)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop at once if the run had been stopped when it was interrupted."""
        if self.wait_count >= self.patience:
            trainer.should_stop = True
