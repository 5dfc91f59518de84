"""How far a run is: a bar on a terminal, a line per epoch anywhere else."""

import logging

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, TQDMProgressBar
from pytorch_lightning.callbacks.progress.tqdm_progress import Tqdm

log = logging.getLogger(__name__)


class EpochBar(TQDMProgressBar):
    """One bar per epoch with the validation metrics; validation takes no time worth a second bar."""

    def init_validation_tqdm(self) -> Tqdm:
        """A bar that is never drawn."""
        return Tqdm(disable=True)


class EpochLog(Callback):
    """One log line per epoch, for output that goes to a file or another program."""

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Tell the epoch's validation metrics."""
        metrics = trainer.callback_metrics
        values = (f"{name} {metrics[name]:.4f}" for name in metrics if name.startswith("val/"))
        if trainer.is_global_zero:
            log.info("epoch %d: %s", trainer.current_epoch + 1, ", ".join(values))
