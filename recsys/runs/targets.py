"""Import the class or function that a `_target_` names, and explain why that fails."""

import difflib
import importlib
import logging
import os
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra.utils import get_object

from recsys.errors import ConfigError, first_line, named_line


def import_target(name: str) -> Any:
    """Return the object with a dotted name, such as "mypkg.MyNet".

    Raises:
        ConfigError: it cannot be imported; the message has the reason and the next step.
    """
    try:
        with quiet_hydra():
            return get_object(name)
    except Exception as error:  # a module of the user's choice can raise anything
        raise ConfigError(f"cannot be imported: {_reason(str(name), error.__cause__ or error)}") from None


@contextmanager
def quiet_hydra() -> Iterator[None]:
    """Switch off the log lines with which Hydra repeats an error of an import."""
    logger = logging.getLogger("hydra.utils")
    was_disabled, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = was_disabled


def _reason(name: str, error: BaseException) -> str:
    package, *rest = name.split(".")
    if not all([package, *rest]):
        return first_line(error)
    if not rest:
        return "write <package>.<class>, such as mypkg.MyNet"
    if not _exists(package):
        return f"there is no module {package!r} in {_searched()}; {_fix(package)}"
    parts = name.split(".")
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if isinstance(error, AttributeError) or missing in [
        ".".join(parts[:n]) for n in range(1, len(parts) + 1)
    ]:
        return _missing_name(parts) or first_line(error)
    return f"{named_line(error)}{_place(error)}"


def _exists(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ValueError:  # a module without a specification, such as __main__
        return True


def _searched() -> str:
    """Return which folders were searched, as far as the user decides about them."""
    folders = os.environ.get("PYTHONPATH") or "not set"
    places = [f"PYTHONPATH ({folders})", f"site-packages ({sysconfig.get_path('purelib')})"]
    if {"", os.getcwd()} & set(sys.path):
        return f"the current folder, {' or '.join(places)}"
    return f"{' or '.join(places)}, and the current folder is not searched"


def _fix(package: str) -> str:
    others = ":$PYTHONPATH" if os.environ.get("PYTHONPATH") else ""
    for folder in (".", "src", package):
        for file in (Path(folder, f"{package}.py"), Path(folder, package, "__init__.py")):
            if file.is_file():
                return f"{file} exists: start the command with PYTHONPATH={folder}{others}"
    return (
        f"start the command with PYTHONPATH=<folder that contains {package}>{others}, or install the package with "
        "pip install -e <folder of its pyproject.toml>"
    )


def _missing_name(parts: list[str]) -> str | None:
    """Return which part of a name does not exist in its module; None if that is not the problem."""
    found: Any = importlib.import_module(parts[0])
    for number, part in enumerate(parts[1:], 1):
        if not hasattr(found, part):
            owner, file = ".".join(parts[:number]), getattr(found, "__file__", None)
            near = difflib.get_close_matches(part, dir(found), n=1)
            return (
                f"{owner}{f' ({file})' if file else ''} has no {part!r}"
                f"{f'; did you mean {owner}.{near[0]}?' if near else ''}"
            )
        found = getattr(found, part)
    return None


def _place(error: BaseException) -> str:
    """Return the file and line of the user's code that raised an error."""
    if isinstance(error, SyntaxError):  # its message has both
        return ""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<frozen")
    ]
    own = [frame for frame in frames if "hydra" not in Path(frame.filename).parts]
    return f" ({own[-1].filename}:{own[-1].lineno})" if own else ""
