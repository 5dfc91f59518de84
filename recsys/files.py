"""Files that are written whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A name to write under; what was written there takes the place of `path` once the block has ended well.

    Whenever the process or the machine dies, `path` is what it was before, or the new file as a whole.

    Args:
        path: its folder exists.
    """
    temporary = path.with_name(f".{os.getpid()}.{path.name}")  # the suffix stays: some writers go by it
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())  # on the disk before its name is, or a power cut leaves an empty file
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes have left in a folder under names of `written_whole`."""
    for file in folder.glob(".[0-9]*.*"):
        file.unlink(missing_ok=True)
