"""Progress of a run: a bar on a terminal, otherwise one log line per epoch."""

import logging

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, TQDMProgressBar
from pytorch_lightning.callbacks.progress.tqdm_progress import Tqdm

log = logging.getLogger(__name__)


class EpochBar(TQDMProgressBar):
    """Show one bar per epoch with the validation metrics, and none for the short validation."""

    def init_validation_tqdm(self) -> Tqdm:
        """Return a bar that is not drawn."""
        return Tqdm(disable=True)


class EpochLog(Callback):
    """Log one line per epoch, for output to a file or another program."""

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Log the validation metrics of the epoch, if there is a validation."""
        metrics = trainer.callback_metrics
        is_validated = (trainer.current_epoch + 1) % (trainer.check_val_every_n_epoch or 1) == 0
        names = [name for name in metrics if is_validated and name.startswith("val/")]
        values = [f"{name} {metrics[name]:.4f}" for name in names]
        if trainer.is_global_zero:
            done = f"epoch {trainer.current_epoch + 1}"
            log.info(": ".join([done, ", ".join(values)]) if values else f"{done} of {trainer.max_epochs}")
