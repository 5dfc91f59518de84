"""Save the run's metadata with every checkpoint."""

import io
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from recsys.errors import TrainingError, first_line


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
        """Add the metadata.

        Raises:
            TrainingError: the state of a callback could not be read again.
        """
        checkpoint["recsys"] = self.metadata
        for name, state in checkpoint.get("callbacks", {}).items():
            _check_readable(name, state)


def _check_readable(name: str, state: Any) -> None:
    """Save a state in memory and load it as a resumed run does, with plain types and tensors only.

    Raises:
        TrainingError: that is not possible.
    """
    file = io.BytesIO()
    try:
        torch.save(state, file)
        file.seek(0)
        torch.load(file, weights_only=True)
    except Exception as error:  # of pickle, or of a method of the user's class
        raise TrainingError(
            f"callbacks: the state_dict of {name:.100} cannot be saved ({first_line(error):.200}); return only "
            "numbers, strings, tensors, lists and dicts"
        ) from None
