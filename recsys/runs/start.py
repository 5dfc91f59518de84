"""Start a run: create and lock its folder, record the configuration, write the log, report a failure."""

import contextlib
import logging
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from recsys.atomic import remove_leftovers
from recsys.errors import ConfigError, RunError, Stopped
from recsys.runs.folder import CHECKPOINTS, FAILED, HYDRA, LOG, RESULT, refuse_used, write_failure
from recsys.runs.lock import lock_folder
from recsys.runs.processes import process_rank
from recsys.runs.record import has_begun, write_record
from recsys.runs.resume import check_unchanged

FORMAT = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S")


@contextmanager
def open_run(
    folder: Path | None, config: dict[str, Any], overrides: Sequence[str], resume: bool = False
) -> Iterator[Path]:
    """Hold the folder of a run during the block; an error in the block becomes failed.json.

    A stopped run leaves no failed.json, and a ConfigError leaves nothing of a new run. The processes of a
    distributed run other than the first get a temporary folder, which is removed at the end.

    Args:
        folder: the run folder; None creates outputs/runs/<date>_<time>-<microseconds>.
        config: the resolved configuration.
        overrides: what the user typed, for the record.
        resume: continue the run in `folder`; begin a new one if there is none.

    Raises:
        ConfigError: the folder cannot be created, another process uses it, it holds another run, or the run
            to resume has another configuration.
        RunError: the run to resume has finished.
    """
    if process_rank() > 0:
        with tempfile.TemporaryDirectory(prefix="recsys-") as scratch:
            yield Path(scratch)
        return
    is_new = folder is None or not folder.exists()
    folder = _create(folder)
    try:
        with lock_folder(folder, f"output_dir={folder}: another process is running in this folder"):
            begins = not (resume and has_begun(folder))
            if begins:
                _refuse_used(folder, resume)
                write_record(folder, config, overrides)
            else:
                _prepare_resuming(folder, config)
            try:
                with log_to(folder / LOG):
                    yield folder
            except (Stopped, KeyboardInterrupt):  # unfinished, not failed
                raise
            except ConfigError:
                if begins:
                    shutil.rmtree(folder / HYDRA)
                    (folder / LOG).unlink(missing_ok=True)
                raise
            except BaseException as error:
                write_failure(folder, error, list(overrides))
                raise
    finally:
        if is_new:
            with contextlib.suppress(OSError):  # only an empty folder is removed
                folder.rmdir()


def timestamp() -> str:
    """Return the current time as the name of a folder."""
    return f"{datetime.now():%Y-%m-%d_%H-%M-%S-%f}"


@contextmanager
def log_to(file: Path) -> Iterator[None]:
    """Append log lines to a file during the block; also to stderr if the program has not set up logging."""
    root, own = logging.getLogger(), logging.getLogger("recsys")
    level = own.level
    handlers: list[logging.Handler] = [logging.FileHandler(file)]
    if not root.handlers:
        handlers.append(logging.StreamHandler(sys.stderr))
    for handler in handlers:
        handler.setFormatter(FORMAT)
        root.addHandler(handler)
    if own.getEffectiveLevel() > logging.INFO:
        own.setLevel(logging.INFO)
    try:
        yield
    finally:
        own.setLevel(level)
        for handler in handlers:
            root.removeHandler(handler)
            handler.close()


def _create(folder: Path | None) -> Path:
    """Create and return a run folder."""
    if folder is None:
        while True:
            folder = Path("outputs", "runs", timestamp()).absolute()
            try:
                folder.mkdir(parents=True)
            except FileExistsError:  # another run started in the same microsecond
                if not folder.is_dir():
                    raise ConfigError(f"{folder}: {folder.parent} is not a folder") from None
            except OSError as error:
                raise _cannot_create(folder, error) from None
            else:
                return folder
    folder = folder.expanduser().absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_create(folder, error) from None
    return folder


def _cannot_create(folder: Path, error: OSError) -> ConfigError:
    return ConfigError(f"output_dir={folder}: cannot be created ({error.strerror}); choose another folder")


def _refuse_used(folder: Path, resume: bool) -> None:
    """Refuse a folder that holds a run, unless that run was killed before its configuration was recorded."""
    if resume and (folder / HYDRA).is_dir() and not (folder / CHECKPOINTS).exists():
        shutil.rmtree(folder / HYDRA)
    refuse_used(folder, folder)


def _prepare_resuming(folder: Path, config: dict[str, Any]) -> None:
    """Check that the run can be resumed, and remove what its failure or kill left."""
    if (folder / RESULT).is_file():
        raise RunError(f"{folder}: this run has already finished (it has a {RESULT})")
    check_unchanged(folder, config)
    remove_leftovers(folder)
    remove_leftovers(folder / CHECKPOINTS)
    (folder / FAILED).unlink(missing_ok=True)
