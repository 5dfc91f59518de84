"""Encoded once, mapped into memory ever after."""

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

from recsys.data.dataset import CACHE_FORMAT, Dataset, load, save
from recsys.errors import refusals_of

log = logging.getLogger(__name__)


def data_folder() -> Path:
    """Where archives and encoded data are kept: RECSYS_DATA, or the user's cache folder."""
    return Path(os.environ.get("RECSYS_DATA") or platformdirs.user_cache_dir("recsys")).expanduser()


def data_folder_in_use() -> AbstractContextManager[None]:
    """Where what the operating system refuses is a mistake about RECSYS_DATA."""
    return refusals_of(f"RECSYS_DATA={data_folder()}: cannot be used", "; RECSYS_DATA=<folder> names another")


def cached(name: str, identity: Sequence[object], build: Callable[[], Dataset]) -> Dataset:
    """The encoded data set, built if it has not been; jobs that start together build it once.

    Args:
        name: of the data set, for people who look into the folder.
        identity: everything that the outcome depends on.
        build: reads and encodes.

    Raises:
        DataError: RECSYS_DATA cannot be used.
    """
    key = hashlib.sha256(repr([CACHE_FORMAT, *identity]).encode()).hexdigest()[:12]
    readable = re.sub(r"[^\w.-]", "-", name)
    folder = data_folder() / "encoded" / f"{readable}-{key}"
    with data_folder_in_use():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f".{folder.name}.lock")):
            if folder.is_dir():
                try:
                    return load(folder)
                except (ValueError, KeyError) as problem:
                    log.warning("%s: damaged, encoded anew (%s)", folder, problem)
                    shutil.rmtree(folder)
            save(build(), folder)
            return load(folder)
