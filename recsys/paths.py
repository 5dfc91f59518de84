"""Where the package and its configuration files are, and Hydra's access to these files from Python."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import hydra
from hydra import version
from hydra.core.global_hydra import GlobalHydra

from recsys.errors import UserError


def conf_dir() -> str:
    """Return the folder conf/: next to the package in a checkout, inside the package in a wheel.

    Raises:
        UserError: it is in neither place.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "conf", package.parent / "conf"):
        if (folder / "train.yaml").is_file():
            return str(folder)
    raise UserError(f"no conf folder in {package} or next to it: reinstall recsys")


def expanded(path: object) -> Path:
    """Return a path that a user gave, with ~ replaced by the home folder; ~name of an unknown user is kept."""
    return Path(os.path.expanduser(str(path)))  # Path.expanduser would raise a RuntimeError


def git_commit() -> str | None:
    """Return the commit of the checkout that contains this package; None outside a checkout or without git."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, check=True, timeout=10).stdout.decode().strip()
    except (OSError, subprocess.SubprocessError):
        return None


@contextmanager
def conf_initialised() -> Iterator[None]:
    """Make `hydra.compose` read conf/, inside a Hydra app as well, whose own state is restored afterwards."""
    running, version_base = GlobalHydra.instance().hydra, version.getbase()
    GlobalHydra.instance().clear()  # Hydra refuses to initialise twice
    try:
        with hydra.initialize_config_dir(conf_dir(), version_base="1.3"):
            yield
    finally:
        GlobalHydra.instance().clear()
        if running is not None:
            GlobalHydra.instance().initialize(running)
            version.setbase(str(version_base))
