"""Files that are written whole or not at all."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)  # what a place that takes no more answers


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A name to write under; what was written there takes the place of `path` once the block has ended well.

    Whenever the process or the machine dies, `path` is what it was before, or the new file as a whole.

    Args:
        path: its folder exists.
    """
    temporary = path.with_name(f".{os.getpid()}.{path.name}")  # the suffix stays: some writers go by it
    try:
        yield temporary
        flush(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def flush(file: Path) -> None:
    """See a file onto the disk; to be done before it is renamed, or a power cut leaves an empty one."""
    with file.open("rb+") as opened:
        os.fsync(opened.fileno())


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes have left in a folder under names of `atomic_write`."""
    for file in folder.glob(".[0-9]*.*"):
        file.unlink(missing_ok=True)
