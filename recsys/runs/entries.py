"""Check what the folder of a run from someone else contains, before a file in it is opened."""

import os
import stat
from pathlib import Path

from recsys.errors import RunError


def check_entries(folder: Path, links: bool = True) -> None:
    """Check that a run folder contains only folders and regular files.

    Opening a pipe waits for its other end, and a device has no end.

    Args:
        folder: the run folder.
        links: whether symbolic links are allowed. Through a link, a run that is resumed would write elsewhere.

    Raises:
        RunError: it contains something else.
    """
    for parent, folders, files in os.walk(folder):
        for path in (Path(parent, name) for name in (*folders, *files)):
            if path.is_symlink() and not links:
                raise RunError(
                    f"{path}: is a symbolic link, and resuming would write to {os.readlink(path)}; replace it by what "
                    "it points to"
                )
            if not links and path.is_file() and path.stat().st_nlink > 1:
                raise RunError(
                    f"{path}: has another name on this disk (a hard link), and resuming would write to both; replace "
                    "it by a copy"
                )
            if path.exists() and not stat.S_ISREG(mode := path.stat().st_mode) and not stat.S_ISDIR(mode):
                raise RunError(f"{path}: is neither a file nor a folder, but a pipe or a device; remove it")
