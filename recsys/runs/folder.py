"""The run folder: write, find, read."""

import atexit
import contextlib
import json
import os
import re
import shlex
import shutil
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from recsys.atomic import atomic_write
from recsys.errors import ConfigError, Pruned, RunError
from recsys.runs.processes import rank

RESULT, FAILED = "result.json", "failed.json"
CHECKPOINTS = "checkpoints"
HYDRA, LOG = ".hydra", "train.log"  # the configuration of a run, and its log
SWEEP, LOCK = "multirun.yaml", ".running"  # Hydra's record of a sweep, and who holds its folder

_claimed: set[Path] = set()
_held: dict[Path, FileLock] = {}  # folders of runs that are this process's alone
_resumed: dict[Path, bytes] = {}  # folders of sweeps that this process goes on with, and their records


def new_folder(
    kind: Literal["runs", "sweeps"],
    chosen: str | int | None = None,
    name: str | None = None,
    resumed: str | int | None = None,
) -> str:
    """A folder that no other run has: `outputs/<kind>/<date>_<time>[_name]`, made at once, so that two starts
    in one second get two.

    Args:
        kind: what it is for.
        chosen: the user's own choice instead (output_dir=); it must not hold a run already.
        name: what a sweep is called.
        resumed: the folder of an earlier sweep to go on in.

    Raises:
        ConfigError: the chosen folder holds a run, or the one to go on in holds no sweep.
    """
    if rank() > 0:  # the first process owns the run's folder; what the others need is gone with them
        scratch = tempfile.TemporaryDirectory(prefix="recsys-")
        atexit.register(scratch.cleanup)
        return scratch.name
    if resumed is not None:
        if not (Path(str(resumed)) / SWEEP).is_file():
            raise ConfigError(f"sweep.resume={resumed}: not a sweep's folder (no {SWEEP})")
        folder = Path(str(resumed)).absolute()
        _resumed[folder] = (folder / SWEEP).read_bytes()
        return str(resumed)
    if chosen is not None:
        folder = Path(str(chosen))
        held = [file for file in (RESULT, FAILED, HYDRA, SWEEP, LOG) if (folder / file).exists()]
        if held or not _claim(folder, kind, f"output_dir={chosen}"):
            told = held[0] if held else "another start was faster"
            raise ConfigError(f"output_dir={chosen}: holds a run already ({told}); choose another folder")
        return str(folder)
    stem = f"{datetime.now():%Y-%m-%d_%H-%M-%S}" + (f"_{name}" if name else "")
    for number in range(1, 1000):
        folder = Path("outputs") / kind / (stem if number == 1 else f"{stem}_{number}")
        if not folder.exists() and _claim(folder, kind, str(folder.absolute())):
            return str(folder)
    raise RunError(f"outputs/{kind}/{stem}: a thousand of them exist")


def _claim(folder: Path, kind: str, told: str) -> bool:
    """Whether the folder is ours now: whoever makes the first file of a run in it has it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if kind == "sweeps":
            (folder / SWEEP).touch(exist_ok=False)
        elif (folder / HYDRA).exists() or not _hold(folder):
            return False
        else:
            (folder / HYDRA).mkdir()
    except OSError as problem:
        if isinstance(problem, FileExistsError) and folder.is_dir():
            return False
        hint = f"cannot be made ({problem.strerror}); output_dir=... names another"
        raise ConfigError(f"{told}: {hint}") from None
    _claimed.add(folder.absolute())
    return True


def forget_claimed() -> None:
    """Take back the folders of this process in which nothing has begun; whatever else lies there stays."""
    for folder in _claimed:
        if any(is_run(child) for child in folder.iterdir() if child.is_dir() and child.name != HYDRA):
            continue  # a sweep with jobs
        shutil.rmtree(folder / HYDRA, ignore_errors=True)
        _free(folder)
        for file in (SWEEP, LOCK, LOG):
            (folder / file).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            folder.rmdir()  # if it is empty
    _claimed.clear()
    for folder, record in _resumed.items():  # Hydra writes it anew before anything is looked at
        (folder / SWEEP).write_bytes(record)
    _resumed.clear()


def is_claimed(folder: Path) -> bool:
    """Whether this process made the folder, or was given it by the user alone."""
    return folder.absolute() in _claimed


def checkpoint_in(folder: Path, name: str = "best") -> Path:
    """Where a run keeps its "best" weights, and what it can go on from, its "last" ones."""
    return folder / CHECKPOINTS / f"{name}.ckpt"


def place_of(folder: Path) -> list[str]:
    """Words of a command line that put a single run into a folder."""
    return [f"hydra.run.dir={quoted(folder)}", "hydra.mode=RUN"]


def resume_command(folder: Path) -> str:
    """The command that goes on with a run, as a shell takes it."""
    is_plain = re.fullmatch(r"[\w./-]+", str(folder))
    return f"recsys-train {shlex.quote(f'run={folder if is_plain else quoted(folder)}')} resume=true"


def quoted(folder: Path) -> str:
    """A path as Hydra reads it: there, a backslash counts before a quote and at the end, and nowhere else."""
    inside = re.sub(r"(\\*)('|$)", lambda end: end[1] * 2 + ("\\'" if end[2] else ""), str(folder))
    return f"'{inside}'"


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a file whole."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")


def write_failure(folder: Path, error: BaseException, overrides: list[str]) -> None:
    """Leave failed.json in the folder of a run that could not finish.

    Where several processes fail, the first one knows the cause, and the others only that it is gone.
    """
    told, pruned = str(error).splitlines() or [""], isinstance(error, Pruned)
    content = {
        "status": "pruned" if pruned else "failed",
        "error": told[0] if pruned else f"{type(error).__name__}: {told[0]}",
        "traceback": "".join(traceback.format_exception(error)),
        "overrides": overrides,
    }
    if not (folder / FAILED).exists():
        with contextlib.suppress(OSError):  # what failed may be the disk, and that is told anyway
            write_json(folder / FAILED, content)


def is_run(folder: Path) -> bool:
    """Whether a run, finished or not, lies in a folder."""
    return any((folder / file).exists() for file in (RESULT, FAILED, HYDRA, "output.log"))


@contextmanager
def only_run_in(folder: Path) -> Iterator[None]:
    """Hold a run's folder, if it is not held since it was made; the system frees it however the process ends.

    Raises:
        ConfigError: another process holds it.
    """
    if os.environ.get("LOCAL_RANK", "0") != "0":  # one of several processes, of which the first holds it
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    if not _hold(folder):
        raise ConfigError(f"{folder}: this run is running")
    try:
        yield
    finally:
        _free(folder)


def _hold(folder: Path) -> bool:
    """Whether the folder is this process's alone now."""
    if folder.absolute() not in _held:
        lock = FileLock(folder / LOCK, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            return False
        _held[folder.absolute()] = lock
    return True


def _free(folder: Path) -> None:
    if lock := _held.pop(folder.absolute(), None):
        (folder / LOCK).unlink(missing_ok=True)
        lock.release()


def find_run(run: str) -> Path:
    """The folder of a completed run: a path, or "latest" for the newest one under ./outputs.

    Raises:
        RunError: there is none, or it has not finished, or it failed.
    """
    if run == "latest":
        results = sorted(Path("outputs").glob(f"**/{RESULT}"), key=lambda path: path.stat().st_mtime_ns)
        if not results:
            raise RunError("run=latest: no completed run under ./outputs; recsys-train makes one")
        return results[-1].parent
    folder = Path(run).expanduser()
    if (folder / RESULT).is_file():
        return folder
    if not folder.is_dir():
        raise RunError(f"run={run}: no such folder")
    if (folder / FAILED).is_file():
        raise RunError(f"run={run}: failed ({read_json(folder / FAILED)['error']})")
    if (folder / HYDRA).is_dir():
        raise RunError(f"run={run}: has not finished (no {RESULT})")
    raise RunError(f"run={run}: not a run folder (no {RESULT})")


def read_json(path: Path) -> dict[str, Any]:
    """Read a file that `write_json` wrote.

    Raises:
        RunError: it cannot be read.
    """
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as problem:
        raise RunError(f"{path}: cannot be read ({problem})") from None
