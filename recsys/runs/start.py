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

from recsys.atomic import NO_ROOM, remove_leftovers
from recsys.errors import ConfigError, RunError, Stopped
from recsys.runs.entries import check_entries
from recsys.runs.folder import (
    CHECKPOINTS,
    FAILED,
    HYDRA,
    LOG,
    RESULT,
    TRACKER_ID,
    refuse_used,
    state_to_resume,
    write_failure,
)
from recsys.runs.lock import lock_folder
from recsys.runs.processes import process_rank
from recsys.runs.record import has_begun, write_record
from recsys.runs.resume import check_unchanged
from recsys.terminal import LogFormatter

LOG_FORMAT = LogFormatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S")
# What trackers write: TensorBoard events, the configuration, metrics as CSV, the files of W&B, and the id of the run.
LOGGER_FILES = ("events.*", "hparams.yaml", "metrics.csv", "wandb", TRACKER_ID)


@contextmanager
def open_run(
    folder: Path | None, config: dict[str, Any], overrides: Sequence[str], resume: bool = False
) -> Iterator[Path]:
    """Create and lock a run folder for the duration of the `with` block; write failed.json if the block raises.

    A stopped run gets no failed.json. A new run that ends with a ConfigError, or with Ctrl-C before its first
    checkpoint, leaves nothing behind. Nothing happens to a run that has finished when the block raises.
    Processes of a distributed run with a rank above 0 get a temporary folder, which is removed at the end.

    Args:
        folder: the run folder; None creates outputs/runs/<date>_<time>-<microseconds>.
        config: the resolved configuration.
        overrides: what the user typed, for the record.
        resume: continue the run in `folder`; begin a new one if there is none.

    Raises:
        ConfigError: the folder cannot be created, another process uses it, it holds another run, or the run
            to resume has another configuration.
        RunError: the run to resume has finished, or a file of the run cannot be written.
    """
    if process_rank() > 0:
        with tempfile.TemporaryDirectory(prefix="recsys-") as scratch:
            yield Path(scratch)
        return
    folder, created = _create(folder)
    try:
        with lock_folder(folder, f"output_dir={folder}: another process is running in this folder"):
            starts_new_run = not (resume and has_begun(folder))
            with write_errors(folder):
                if starts_new_run:
                    _check_unused(folder, resume)
                else:
                    _prepare_resuming(folder, config)
            before = set(folder.iterdir())
            try:
                if starts_new_run:
                    with write_errors(folder):
                        write_record(folder, config, overrides)
                with log_to(folder / LOG):
                    yield folder
            except BaseException as error:
                is_worthless = starts_new_run and state_to_resume(folder) is None
                is_ended_by_user = isinstance(error, ConfigError | KeyboardInterrupt)
                if (folder / RESULT).is_file():
                    raise
                if is_worthless and (is_ended_by_user or not has_begun(folder)):
                    _discard(folder, before)
                elif not is_ended_by_user and not isinstance(error, Stopped):
                    write_failure(folder, error, list(overrides))
                raise
    finally:
        remove_empty(created)


def timestamp() -> str:
    """Return the current time as the name of a folder."""
    return f"{datetime.now():%Y-%m-%d_%H-%M-%S-%f}"


@contextmanager
def log_to(file: Path) -> Iterator[None]:
    """Append log lines to a file during the block; also to stderr if the program has not set up logging."""
    root, package = logging.getLogger(), logging.getLogger("recsys")
    level = package.level
    with write_errors(file.parent):
        handlers: list[logging.Handler] = [LogFile(file, encoding="utf-8")]
    if not root.handlers:
        handlers.append(logging.StreamHandler(sys.stderr))
    for handler in handlers:
        handler.setFormatter(LOG_FORMAT)
        root.addHandler(handler)
    if package.getEffectiveLevel() > logging.INFO:
        package.setLevel(logging.INFO)
    try:
        yield
    finally:
        package.setLevel(level)
        for handler in handlers:
            root.removeHandler(handler)
            with contextlib.suppress(OSError):  # LogFile says why
                handler.close()


class LogFile(logging.FileHandler):
    """A log file that ignores failed writes: on a full disk, the write of the next checkpoint reports the error."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Print no traceback."""


@contextmanager
def write_errors(folder: Path, command: str | None = None) -> Iterator[None]:
    """Convert an error of the file system inside the block to a RunError that names the file.

    Args:
        folder: the run folder. An OSError of a file in another folder is not converted unless the disk is full.
        command: the command that resumes the run.

    Raises:
        RunError: a file cannot be written; the message has the reason and the next step.
    """
    try:
        yield
    except OSError as error:
        file = Path(error.filename) if isinstance(error.filename, str) else None
        is_full = error.errno in NO_ROOM
        if not is_full and (file is None or not file.is_relative_to(folder)):
            raise
        step = (
            f"{'free some space' if is_full else 'make it writable'}{f', then {command}' if command else ''}"
        )
        if state_to_resume(folder) is not None:
            step = f"saved checkpoints are intact: {step}"
        raise RunError(f"{file or folder}: cannot be written ({error.strerror}); {step}") from error


def missing_folders(folder: Path) -> list[Path]:
    """Return those of a folder and its parents that do not exist, the innermost first."""
    return [path for path in (folder, *folder.parents) if not path.exists()]


def remove_empty(folders: Sequence[Path]) -> None:
    """Remove folders as long as they are empty.

    Args:
        folders: the innermost first.
    """
    with contextlib.suppress(OSError):
        for folder in folders:
            folder.rmdir()


def _create(folder: Path | None) -> tuple[Path, list[Path]]:
    """Create a run folder; return it, and which folders had to be created, the innermost first."""
    if folder is None:
        while True:
            folder = Path("outputs", "runs", timestamp()).absolute()
            created = missing_folders(folder)
            try:
                folder.mkdir(parents=True)
            except FileExistsError:  # another run started in the same microsecond
                if not folder.is_dir():
                    raise ConfigError(f"{folder}: {folder.parent} is not a folder; remove it") from None
            except OSError as error:
                raise _cannot_create(folder, error) from None
            else:
                return folder, created
    folder = folder.absolute()
    created = missing_folders(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_create(folder, error) from None
    return folder, created


def _discard(folder: Path, before: set[Path]) -> None:
    """Remove the files of a run that were not in its folder before."""
    for pattern in (HYDRA, LOG, CHECKPOINTS, FAILED, *LOGGER_FILES):
        for path in set(folder.glob(pattern)) - before:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _cannot_create(folder: Path, error: OSError) -> ConfigError:
    return ConfigError(f"output_dir={folder}: cannot be created ({error.strerror}); choose another folder")


def _check_unused(folder: Path, resume: bool) -> None:
    """Refuse a folder that holds a run, unless that run was killed before its configuration was recorded."""
    if resume and (folder / HYDRA).is_dir() and not (folder / CHECKPOINTS).exists():
        shutil.rmtree(folder / HYDRA)
    refuse_used(folder, folder)


def _prepare_resuming(folder: Path, config: dict[str, Any]) -> None:
    """Check that the run can be resumed, and remove what its failure or kill left."""
    if (folder / RESULT).is_file():
        raise RunError(f"{folder}: this run has already finished (it has a {RESULT})")
    check_unchanged(folder, config)
    check_entries(folder, links=False)
    remove_leftovers(folder)
    remove_leftovers(folder / CHECKPOINTS)
    (folder / FAILED).unlink(missing_ok=True)
