"""Atomic writes of checkpoints."""

from pathlib import Path
from typing import Any

from lightning_fabric.plugins import TorchCheckpointIO

from recsys.runs.torch_file import write_torch_file


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write a checkpoint to a temporary file in its folder, then rename it.

    Lightning writes to the system's temporary folder. If that is on another disk, the last step is a copy,
    and a crash leaves an incomplete checkpoint.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Save a checkpoint.

        Args:
            checkpoint: the state of the run.
            path: file to write; its folder is created if missing.
            storage_options: ignored; part of Lightning's interface.

        Raises:
            OSError: the disk is full, or the folder is not writable.
        """
        write_torch_file(checkpoint, Path(path))
