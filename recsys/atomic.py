"""Atomic writes: a file is either replaced as a whole or left as it was."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# Errors of a file system that accepts no more data: full, over quota, file too large, read-only.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to, and rename it to `path` when the block ends without an error.

    If the process or the machine dies, `path` is either the old or the complete new file.

    Args:
        path: the file to write; its folder must exist.

    Raises:
        OSError: `path` is a device, a pipe or a socket, which a file must not replace; or an error of the block or of
            the rename, whose `filename` is `path` if it was the temporary file or missing.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    temporary = path.with_name(f".{os.getpid()}.{path.name}")  # some writers choose the format by the suffix
    try:
        yield temporary
        flush(temporary)
        temporary.replace(path)
    except OSError as error:
        if error.filename in (None, str(temporary), temporary):  # a failed write does not name its file
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        with suppress(OSError):  # the file system has failed, and the first error says how
            temporary.unlink(missing_ok=True)


def flush(file: Path) -> None:
    """Force a file to disk. Without this before the rename, a power failure can leave an empty file."""
    with file.open("rb+") as opened:
        os.fsync(opened.fileno())


def remove_leftovers(folder: Path, name: str = "*") -> None:
    """Remove the temporary files of `atomic_write` that killed processes left in a folder, for files of this name."""
    for file in folder.glob(f".[0-9]*.{name}"):
        file.unlink(missing_ok=True)
