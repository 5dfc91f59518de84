"""A cache of encoded datasets: a data set is read and encoded once, then mapped into memory."""

import glob
import hashlib
import logging
import os
import re
import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import platformdirs
from filelock import FileLock

from recsys.data.dataset import Dataset
from recsys.data.storage import CACHE_FORMAT, load, save, temporary_prefix
from recsys.errors import DataError, first_line, os_error_as_data_error
from recsys.paths import expanded

log = logging.getLogger(__name__)


def data_folder() -> Path:
    """Return the folder for archives and encoded data: RECSYS_DATA, or the user's cache folder."""
    return expanded(os.environ.get("RECSYS_DATA") or platformdirs.user_cache_dir("recsys"))


def data_folder_errors() -> AbstractContextManager[None]:
    """Return a context that reports errors of the operating system as a wrong value of RECSYS_DATA."""
    return os_error_as_data_error(
        f"RECSYS_DATA={data_folder()}: cannot be used", "; set RECSYS_DATA to a folder that can be written"
    )


def cached(name: str, identity: Sequence[object], build: Callable[[], Dataset]) -> Dataset:
    """Return an encoded dataset from the cache, or build and cache it.

    A lock makes sure that jobs that start at the same time build it only once.

    Args:
        name: the name of the data set; it makes the cache folder recognisable.
        identity: everything that the dataset depends on.
        build: reads and encodes the dataset.

    Raises:
        DataError: RECSYS_DATA cannot be used, or memory ran out.
    """
    folder = _folder(name, identity)
    with data_folder_errors():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f".{folder.name}.lock")):
            if (dataset := _load(folder)) is not None:
                return dataset
            for leftover in folder.parent.glob(
                f"{glob.escape(temporary_prefix(folder))}*"
            ):  # of killed processes
                shutil.rmtree(leftover, ignore_errors=True)
            try:
                save(build(), folder)
            except MemoryError as problem:  # also that of pyarrow
                raise DataError(
                    f"{name}: not enough memory to read and encode these ratings ({first_line(problem)}); use a "
                    "machine with more memory, or fewer ratings"
                ) from None
            return load(folder)


def find_cached(name: str, identity: Sequence[object]) -> Dataset | None:
    """Return an encoded dataset from the cache; None if it is not there. See `cached`."""
    folder = _folder(name, identity)
    with data_folder_errors():
        if not folder.is_dir():
            return None
        with FileLock(folder.with_name(f".{folder.name}.lock")):
            return _load(folder)


def _folder(name: str, identity: Sequence[object]) -> Path:
    key = hashlib.sha256(repr([CACHE_FORMAT, *identity]).encode()).hexdigest()[:12]
    safe_name = re.sub(r"[^\w.-]", "-", name)
    return data_folder() / "encoded" / f"{safe_name}-{key}"


def _load(folder: Path) -> Dataset | None:
    """Return the dataset in a folder; None if there is none. A damaged one is removed."""
    if not folder.is_dir():
        return None
    try:
        return load(folder)
    except (ValueError, KeyError, FileNotFoundError) as problem:
        log.warning("%s: damaged, encoded again (%s)", folder, problem)
        shutil.rmtree(folder)
        return None
