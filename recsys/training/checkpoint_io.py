"""How Lightning's checkpoints reach the disk: whole, in their own folder, and read as plain data."""

from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import TorchCheckpointIO

from recsys.atomic import atomic_write


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the checkpoint and renames.

    Lightning's own way goes by the system's folder for temporary files, which may lie on another disk: the
    last step is then a copy that can be cut off.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Save.

        Raises:
            OSError: the disk is full, or the folder cannot be written.
        """
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            torch.save(checkpoint, file)
