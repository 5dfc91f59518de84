"""Lock a folder, so that one process at a time writes to it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from recsys.errors import ConfigError

LOCK = ".running"


@contextmanager
def lock_folder(folder: Path, refusal: str) -> Iterator[None]:
    """Hold the lock of an existing folder during the block.

    The operating system releases the lock however the process ends.

    Args:
        folder: the folder to lock.
        refusal: the message if another process (or thread) holds the lock.

    Raises:
        ConfigError: with `refusal`, or the folder is not writable.
    """
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise ConfigError(refusal) from None
    except OSError as error:
        if (folder / LOCK).is_symlink():
            raise ConfigError(f"{folder / LOCK}: is a link, and would lock another file; remove it") from None
        raise ConfigError(
            f"{folder}: cannot be locked ({error.strerror}); make it writable, or choose another folder"
        ) from None
    try:
        yield
    finally:
        # While the lock is held: a process that opens the file later creates a new one, and filelock ignores
        # a lock on a file that has been removed.
        (folder / LOCK).unlink(missing_ok=True)
        lock.release()
