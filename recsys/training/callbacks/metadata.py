"""Save the run's metadata with every checkpoint."""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback


class CheckpointMetadata(Callback):
    """Adds what `recsys.runs.checkpoint` reads in addition to network and scorers: ids, scale and configuration.

    Args:
        metadata: from `recsys.runs.checkpoint.make_metadata`.
    """

    def __init__(self, metadata: dict[str, Any]) -> None:
        self.metadata = metadata

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the metadata."""
        checkpoint["recsys"] = self.metadata
