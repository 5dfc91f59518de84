"""The run folder: write, find, read."""

import atexit
import contextlib
import json
import os
import shutil
import tempfile
import traceback
from datetime import datetime
from pathlib import Path
from typing import Any

from recsys.errors import ConfigError, Pruned, RunError
from recsys.processes import rank

RESULT, FAILED = "result.json", "failed.json"


def new_folder(
    kind: str, chosen: str | None = None, name: str | None = None, resumed: str | None = None
) -> str:
    """A folder that no other run has: `outputs/<kind>/<date>_<time>[_name]`, made at once, so that two starts
    in one second get two.

    Args:
        kind: "runs" or "sweeps".
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
        if not (Path(resumed) / "multirun.yaml").is_file():
            raise ConfigError(f"sweep.resume={resumed}: not a sweep's folder (no multirun.yaml)")
        return resumed
    if chosen is not None:
        held = [
            file for file in (RESULT, FAILED, ".hydra", "multirun.yaml") if (Path(chosen) / file).exists()
        ]
        if held:
            raise ConfigError(f"output_dir={chosen}: holds a run already ({held[0]}); choose another folder")
        try:
            Path(chosen).mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise ConfigError(f"output_dir={chosen}: cannot be made ({problem.strerror})") from None
        return chosen
    stem = f"{datetime.now():%Y-%m-%d_%H-%M-%S}" + (f"_{name}" if name else "")
    for number in range(1, 1000):
        folder = Path("outputs") / kind / (stem if number == 1 else f"{stem}_{number}")
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir()
        except FileExistsError:
            continue
        except OSError as problem:
            raise ConfigError(
                f"{folder.absolute()}: cannot be made ({problem.strerror}); output_dir=... names another"
            ) from None
        return str(folder)
    raise RunError(f"outputs/{kind}/{stem}: a thousand of them exist")


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a file whole: under a temporary name, then renamed."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")
    temporary.replace(path)


def write_failure(folder: Path, error: BaseException, overrides: list[str]) -> None:
    """Leave failed.json in the folder of a run that could not finish."""
    told, pruned = str(error).splitlines() or [""], isinstance(error, Pruned)
    content = {
        "status": "pruned" if pruned else "failed",
        "error": told[0] if pruned else f"{type(error).__name__}: {told[0]}",
        "traceback": "".join(traceback.format_exception(error)),
        "overrides": overrides,
    }
    write_json(folder / FAILED, content)


def forget(folder: Path) -> None:
    """Take back what Hydra leaves in the folder of a run that never began; whatever else lies there stays."""
    shutil.rmtree(folder / ".hydra", ignore_errors=True)
    for file in folder.glob("train*.log"):
        file.unlink()
    with contextlib.suppress(OSError):
        folder.rmdir()  # if it is empty


def is_run(folder: Path) -> bool:
    """Whether a run, finished or not, lies in a folder."""
    return any((folder / file).exists() for file in (RESULT, FAILED, ".hydra", "output.log"))


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
    if (folder / ".hydra").is_dir():
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
