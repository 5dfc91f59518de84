"""Atomic writes of checkpoints."""

from pathlib import Path
from typing import Any

from lightning_fabric.plugins import TorchCheckpointIO

from recsys.runs.torch_file import write_torch_file


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write a checkpoint to a temporary file in its folder, then rename it.

    Lightning writes to the system's temporary folder. If that is on another disk, the last step is a copy,
    and a crash leaves an incomplete checkpoint.

    Args:
        folder: the run folder; nothing outside of it is removed.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

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

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a checkpoint of the run folder; ignore any other path, such as one that a stranger's file names."""
        resolved = Path(path).resolve()
        if resolved.is_relative_to(self.folder.resolve()) and resolved.is_file():
            resolved.unlink()
