"""The run folder: names of its files, and how a finished run is found."""

import contextlib
import json
import logging
import os
import re
import shlex
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsys.atomic import atomic_write
from recsys.errors import ConfigError, Pruned, RunError, first_line, named_line
from recsys.paths import expanded
from recsys.runs.entries import check_entries

log = logging.getLogger(__name__)

FORMAT = 2  # of checkpoints and result.json; raised when their keys change
RESULT, FAILED = "result.json", "failed.json"  # how the run ended; neither: it has not finished
CHECKPOINTS = "checkpoints"
FIRST_TRAINING = "first-training"  # with refit=true: subfolder of the run folder
HYDRA, LOG = ".hydra", "train.log"  # the configuration of the run, and its log
JOB_LOG = "output.log"  # everything a job of a sweep printed
MAX_JSON_SIZE = 10_000_000  # bytes; a result has some thousand
TRACKER_ID = "trackers.json"  # what the id of the run in its trackers is made of
SWEEP, MULTIRUN = "sweep.json", "multirun.yaml"  # the launcher's record of a sweep, and Hydra's own


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        folder: the run folder.
        metrics: "val/rmse", "test/rmse" and so on; empty in the other processes of a distributed run.
        result: the content of result.json; empty in the other processes of a distributed run.
    """

    folder: Path
    metrics: dict[str, Any]
    result: dict[str, Any]


def checkpoint_in(folder: Path, name: str = "best") -> Path:
    """Return the path of a run's checkpoint: "best" holds the selected weights, "last" can be resumed."""
    return folder / CHECKPOINTS / f"{name}.ckpt"


def state_to_resume(folder: Path) -> Path | None:
    """Return last.ckpt of a run; with refit=true, that of the first training as long as the second has none."""
    paths = (checkpoint_in(folder, "last"), checkpoint_in(folder / FIRST_TRAINING, "last"))
    return next((path for path in paths if path.is_file()), None)


def refuse_used(folder: Path, given: object) -> None:
    """Refuse a folder that a run or a sweep uses.

    Args:
        folder: the folder.
        given: what the user typed, for the message.

    Raises:
        ConfigError: it is used.
    """
    if folder.is_dir() and [child.name for child in folder.iterdir()] == [MULTIRUN]:
        return  # a sweep that was stopped before its first job
    for name in (RESULT, FAILED, SWEEP, MULTIRUN, HYDRA, LOG):
        if os.path.lexists(folder / name):  # also a link to nothing
            is_unfinished = name == HYDRA and (folder / HYDRA / "config.yaml").is_file()
            then = f"continue it with {resume_command(folder)}, or " if is_unfinished else ""
            raise ConfigError(
                f"output_dir={given}: already holds a run or sweep ({name}); {then}choose another folder"
            )


def is_run(folder: Path) -> bool:
    """Return whether a folder holds a run, finished or not."""
    return any((folder / name).exists() for name in (RESULT, FAILED, HYDRA, JOB_LOG))


def entries_named(folder: Path, *names: str) -> list[Path]:
    """Return what has one of these names in a folder and its subfolders, also while something is deleted there."""
    return [
        Path(parent, name)
        for parent, folders, files in os.walk(folder)
        for name in names
        if name in files or name in folders
    ]


def newest_file(paths: Iterable[Path]) -> Path | None:
    """Return the file that was written last; None if none of the paths is a file."""
    found: dict[Path, int] = {}
    for path in paths:
        with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
            if path.is_file():
                found[path] = path.stat().st_mtime_ns
    return sorted(found, key=found.__getitem__)[-1] if found else None


def find_run(run: str) -> Path:
    """Return the folder of a finished run.

    Args:
        run: its path, or "latest" for the newest finished run under ./outputs.

    Raises:
        RunError: there is no such run, it has failed or not finished, or its folder contains a pipe or a device.
    """
    if run == "latest":
        result = newest_file(entries_named(Path("outputs"), RESULT))
        if result is None:
            raise RunError("run=latest: no finished run under ./outputs; train one with recsys-train")
        check_entries(result.parent)
        if (result.parent.parent / SWEEP).is_file():
            log.warning(
                "run=latest: %s, the last finished job of a sweep; recsys-compare names the best one",
                result.parent,
            )
        return result.parent
    folder = expanded(run)
    if (folder / RESULT).is_file():
        check_entries(folder)
        return folder
    if not folder.is_dir():
        raise RunError(f"run={run}: no such folder")
    if (folder / FAILED).is_file():
        raise RunError(f"run={run}: this run failed ({_reason(folder / FAILED)})")
    if (folder / HYDRA).is_dir():
        raise RunError(f"run={run}: this run has not finished (no {RESULT})")
    raise RunError(f"run={run}: not a run folder (no {RESULT})")


def _reason(failed: Path) -> str:
    """Return the first line of the error in a failed.json."""
    try:
        error = read_json(failed).get("error")
    except RunError:
        error = None
    return (error.splitlines() or [""])[0][:1000] if isinstance(error, str) else f"{failed} does not say why"


def resume_command(folder: Path, trust: bool = False) -> str:
    """Return the shell command that resumes a run; with trust=true if `trust`, for a run of the user's own code."""
    is_plain = re.fullmatch(r"[\w./-]+", str(folder), re.ASCII)
    run = shlex.quote(f"run={folder if is_plain else hydra_quoted(folder)}")
    return f"recsys-train {run} resume=true{' trust=true' if trust else ''}"


def hydra_quoted(text: Path | str) -> str:
    """Return a path or a text quoted for Hydra's grammar: a backslash escapes only before a quote or at the end."""
    inside = re.sub(r"(\\*)('|$)", lambda end: end[1] * 2 + ("\\'" if end[2] else ""), str(text))
    return f"'{inside}'"


def write_failure(folder: Path, error: BaseException, overrides: list[str]) -> None:
    """Write failed.json for a run that an error ended.

    An existing failed.json is kept, because later errors are often consequences of the first. An OSError is
    ignored: the disk may be what failed, and the error itself is reported anyway.
    """
    is_pruned = isinstance(error, Pruned)
    content = {
        "status": "pruned" if is_pruned else "failed",
        "error": first_line(error) if is_pruned else named_line(error),
        "traceback": "".join(traceback.format_exception(error)),
        "overrides": overrides,
    }
    if not (folder / FAILED).exists():
        with contextlib.suppress(OSError):
            write_json(folder / FAILED, content)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file atomically."""
    # With LC_ALL=POSIX, arguments have surrogates, which are not valid in JSON.
    plain = json.loads(as_utf8(json.dumps(content, allow_nan=False, ensure_ascii=False)))
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")


def as_utf8(text: str) -> str:
    """Return a text without surrogates: those of bytes that Python could not decode become the characters they are."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8")
    except UnicodeError:
        return text.encode("utf-8", "replace").decode("utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Read a file written by `write_json`.

    `recsys.runs.outcome.read_record` also checks the keys.

    Raises:
        RunError: it cannot be read, or is not a JSON object.
    """
    return parse_json(path, read_bytes(path))


def read_bytes(path: Path) -> bytes:
    """Return the content of a JSON file.

    Raises:
        RunError: it cannot be read, is not a regular file, or is too large to have been written by `write_json`.
    """
    try:
        if path.exists() and not path.is_file():
            raise RunError(f"{path}: cannot be read (not a regular file)")  # opening a FIFO would block
        with path.open("rb") as file:
            data = file.read(MAX_JSON_SIZE + 1)
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror or error})") from None
    if len(data) > MAX_JSON_SIZE:
        raise RunError(f"{path}: cannot be read (larger than {MAX_JSON_SIZE:,} bytes)")
    return data


def parse_json(path: Path, data: bytes) -> dict[str, Any]:
    """Return the JSON object in the content of a file.

    Raises:
        RunError: it is not one.
    """
    try:
        content = json.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path}: cannot be read ({first_line(error)})") from None
    if not isinstance(content, dict):
        raise RunError(f"{path}: cannot be read (not a JSON object)")
    return content
