"""Save the scorers and the run's metadata with every checkpoint."""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from recsys.training.module import RatingModule


class CheckpointMetadata(Callback):
    """Adds what `recsys.runs.checkpoint` reads: ids, scale, configuration and the scorers.

    Args:
        metadata: from `recsys.runs.checkpoint.make_metadata`.
    """

    def __init__(self, metadata: dict[str, Any]) -> None:
        self.metadata = metadata

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the metadata, and the scorers as they were measured last: snapshots, then the current one."""
        assert isinstance(pl_module, RatingModule)
        checkpoint["recsys"] = self.metadata
        checkpoint["scorers"] = [scorer.state_dict() for scorer in (*pl_module.snapshots, pl_module.scorer)]
