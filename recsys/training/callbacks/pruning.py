"""Stop a run of a search that is worse than most others were at the same point."""

from typing import TYPE_CHECKING

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from recsys.errors import Pruned
from recsys.evaluation.objective import VAL_RMSE, Objective, to_minimise

if TYPE_CHECKING:
    from optuna.trial import Trial


class PruneHopeless(Callback):
    """Reports the objective where runs can be compared, at the ends of cycles, and asks whether to go on.

    Args:
        trial: of the search that the run belongs to.
        cycle_ends: epochs, counted from 1.
        objective: what the run is chosen by.

    Raises:
        Pruned: the search gives the run up.
    """

    def __init__(self, trial: "Trial", cycle_ends: set[int], objective: Objective = VAL_RMSE) -> None:
        self.trial, self.cycle_ends, self.objective = trial, cycle_ends, objective

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Report; all processes of a run end together."""
        epoch = trainer.current_epoch + 1
        if epoch not in self.cycle_ends:
            return
        value, hopeless = float(trainer.callback_metrics[self.objective.name]), False
        if trainer.is_global_zero:
            self.trial.report(to_minimise({**self.objective._asdict(), "value": value}), epoch)
            hopeless = self.trial.should_prune()
        if trainer.strategy.broadcast(hopeless):
            raise Pruned(f"pruned after epoch {epoch} ({self.objective.name} {value:.4f})")
