"""Local files that a data source reads: whether they can be read, and whether they changed meanwhile."""

import stat
from collections.abc import Iterator
from pathlib import Path

from recsys.errors import os_error_as_data_error, shortened
from recsys.paths import expanded

State = tuple[int, int, int]  # size, time of the last change, inode


def states_of(files: dict[str, Path]) -> dict[str, State]:
    """Return what shows whether files have changed."""
    states = {}
    for key, file in files.items():
        with os_error_as_data_error(f"data.{key}={file}", f"; check data.{key}"):
            status = file.stat()
        states[key] = (status.st_size, status.st_mtime_ns, status.st_ino)
    return states


def file_problems(key: str, path: str) -> Iterator[str]:
    """Yield an error message if a path is not that of a regular file."""
    try:
        mode = expanded(path).stat().st_mode
    except OSError as error:
        yield f"{key}={shortened(path, 200, quoted=False)}: {error.strerror}"
        return
    if stat.S_ISDIR(mode):
        yield f"{key}={path}: Is a directory; give the path of a file"
    elif not stat.S_ISREG(mode):  # reading it could wait forever, and a second read would find nothing
        yield (
            f"{key}={path}: not a regular file, but a pipe or a device, which cannot be read several times; save it to "
            "a file first"
        )
