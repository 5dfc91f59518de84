"""Snapshot ensemble: average the predictions of the networks at the last cycle ends."""

from collections.abc import Collection

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from recsys.training.module import RatingModule


class SnapshotEnsemble(Callback):
    """Keeps the scorers of the last cycle ends, which are averaged with the current one wherever it is measured.

    This is Snapshot Ensembles (Huang et al. 2017, Train 1, get M for free).

    Args:
        snapshots: how many networks are averaged, including the current one.
        cycle_ends: epochs, counted from 1, at which cycles end.
    """

    def __init__(self, snapshots: int, cycle_ends: Collection[int]) -> None:
        self.snapshots, self.cycle_ends = snapshots, cycle_ends

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the scorer of the epoch before, if a cycle ended with it."""
        assert isinstance(pl_module, RatingModule)
        if trainer.current_epoch in self.cycle_ends:
            evaluation = pl_module.evaluation
            evaluation.snapshots = [*evaluation.snapshots, evaluation.scorer][1 - self.snapshots :]
