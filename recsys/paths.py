"""The location of the configuration files."""

from pathlib import Path

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
