"""Check the contents of a run folder, which may be untrusted, before a file in it is opened."""

import os
import stat
from pathlib import Path

from recsys.errors import RunError


def check_entries(folder: Path, links: bool = True) -> None:
    """Check that a run folder contains no pipes and no devices, and optionally no links.

    Opening a named pipe can block forever, and a device can be read without end.

    Args:
        folder: the run folder.
        links: whether symbolic and hard links are allowed. Through a link, a resumed run would write elsewhere.

    Raises:
        RunError: it contains a pipe, a device, or a link that is not allowed.
    """
    for parent, folders, files in os.walk(folder):
        for path in (Path(parent, name) for name in (*folders, *files)):
            if not links:
                check_no_link(path)
            try:
                status = path.stat()
            except FileNotFoundError:  # a broken link, or a temporary file that was renamed meanwhile
                continue
            if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
                raise RunError(
                    f"{path}: is not a regular file or folder (for example a pipe or a device); remove it"
                )


def check_no_link(path: Path) -> None:
    """Check that writing to a path changes no file of another name.

    Raises:
        RunError: it is a symbolic link or a file with hard links.
    """
    if path.is_symlink():
        raise RunError(
            f"{path}: is a symbolic link, and resuming would write to {os.readlink(path)}; replace it with what it "
            "points to"
        )
    try:
        status = path.stat()
    except FileNotFoundError:
        return
    if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
        raise RunError(
            f"{path}: has another name on this disk (a hard link), and resuming would write to both; replace it with "
            "a copy"
        )
