"""When a run is judged: at the ends of the schedule's cycles, where the learning rate is low.

In the middle of a cycle the weights are on their way, and comparing them with those at an end says more about
the learning rate than about the run. Where a schedule has no cycles, every epoch is an end.
"""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint


class CycleEndCheckpoint(ModelCheckpoint):
    """Keeps the best weights among those at the ends.

    Args:
        ends: epochs, counted from 1.
        options: of Lightning's ModelCheckpoint.
    """

    def __init__(self, ends: set[int], **options: Any) -> None:
        super().__init__(save_on_train_epoch_end=False, **options)  # but after validation
        self.ends = ends

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep them if they are the best."""
        if trainer.current_epoch + 1 in self.ends:
            super().on_validation_end(trainer, pl_module)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what was the best so far, wherever the run's folder lies by now."""
        moved = str(state_dict["dirpath"]), str(self.dirpath)
        best = state_dict["best_model_path"].replace(*moved)
        scores = {path.replace(*moved): score for path, score in state_dict["best_k_models"].items()}
        now = {"dirpath": self.dirpath, "best_model_path": best, "best_k_models": scores}
        super().load_state_dict(state_dict | now | {"kth_best_model_path": best})


class CycleEndEarlyStopping(EarlyStopping):
    """Stops where the metric has not become better for `patience` ends.

    Args:
        ends: epochs, counted from 1.
        options: of Lightning's EarlyStopping.
    """

    def __init__(self, ends: set[int], **options: Any) -> None:
        super().__init__(check_on_train_epoch_end=False, **options)
        self.ends = ends

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop or go on."""
        if trainer.current_epoch + 1 in self.ends:
            super().on_validation_end(trainer, pl_module)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """A run that was killed after it had been stopped does not go on."""
        if self.wait_count >= self.patience:
            trainer.should_stop = True
