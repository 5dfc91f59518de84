"""Prune trials of a hyperparameter search at cycle ends."""

from typing import TYPE_CHECKING

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from recsys.errors import Pruned, TrainingError, first_line
from recsys.training.callbacks.cycle_end import is_cycle_end
from recsys.training.module import RatingModule

if TYPE_CHECKING:
    from optuna.trial import Trial


class PruneTrial(Callback):
    """Reports the objective at cycle ends, where trials are comparable, and stops the run if it is pruned.

    Args:
        trial: the trial of the search that the run belongs to.
        k: number of recommendations per user in ranking metrics.

    Raises:
        Pruned: the search prunes the trial.
        TrainingError: the search or its pruner does not work.
    """

    def __init__(self, trial: "Trial", k: int = 10) -> None:
        self.trial, self.k = trial, k

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report the objective; all processes of a run stop together."""
        assert isinstance(pl_module, RatingModule)
        assert trainer.max_epochs is not None
        epoch = trainer.current_epoch + 1
        if not is_cycle_end(trainer, pl_module.schedule.cycle_ends(trainer.max_epochs)):
            return
        objective = pl_module.objective(self.k)
        value, prune = float(trainer.callback_metrics[objective.name]), False
        if trainer.is_global_zero:
            try:
                self.trial.report(objective.sign * value, epoch)
                prune = self.trial.should_prune()
            except Exception as error:
                raise TrainingError(
                    f"the search cannot tell whether to prune this trial ({first_line(error):.200}); check the options "
                    "of hydra.sweeper.pruner"
                ) from error
        if trainer.strategy.broadcast(prune):
            raise Pruned(f"pruned after epoch {epoch} ({objective.name} {value:.4f})")
