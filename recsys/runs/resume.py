"""Go on with an interrupted run: in its own folder, with the words that it was started with."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from recsys.atomic import remove_leftovers
from recsys.errors import ConfigError, RunError
from recsys.runs.folder import CHECKPOINTS, FAILED, HYDRA, LOG, RESULT, only_run_in, place_of, quoted
from recsys.runs.processes import rank

OWN = ("run", "resume")  # keys that are of this start alone
NO_RECORD = "hydra.output_subdir=null"  # what the run was started with is not written again
PLACE = ("hydra.run.dir=", "hydra.mode=", "hydra.sweep.", "hydra.output_subdir=", "hydra.job.name=")


def words_to_go_on(words: list[str]) -> list[str]:
    """The command line that goes on with a run, where `words` ask for that; else `words`.

    `run=<folder> resume=true` goes on with what lies there. `output_dir=<folder> resume=true` does the same
    and begins where nothing does yet: the one command for a batch script that a scheduler starts again.

    Raises:
        ConfigError: the words ask for what cannot be, or contradict those of the run.
        RunError: there is no such run, or it has finished.
    """
    given = {key: str(value) for key, value in _values(words)}
    if given.get("resume", "").lower() != "true" or NO_RECORD in words:
        return words
    if {"-m", "--multirun"} & set(words):
        raise ConfigError("resume=true with -m: a sweep goes on with sweep.resume=<its folder>")
    key = "run" if "run" in given else "output_dir"
    if key not in given:
        return words  # told with all other mistakes
    folder = _folder(given[key])
    if (folder / RESULT).is_file():
        told = f"{key}={given[key]}: has finished already (it has a {RESULT})"
        if key == "run":
            raise RunError(told)
        print(told, file=sys.stderr)
        sys.exit(0)  # a scheduler that starts it once more is to count it as done
    stored, hydra = stored_words(folder), _read(folder, "hydra.yaml")
    if key == "output_dir" and stored is None and not (folder / CHECKPOINTS).exists():
        if rank() == 0 and (folder / HYDRA).is_dir():  # killed before it had begun
            with only_run_in(folder):
                shutil.rmtree(folder / HYDRA)
                (folder / LOG).unlink(missing_ok=True)
        return [word for word in words if not word.startswith("resume=")]
    if not folder.is_dir():
        raise RunError(f"{key}={given[key]}: no such folder")
    if stored is None or not _is_record(hydra):
        raise RunError(
            f"{key}={given[key]}: not a run that has begun ({HYDRA} is not there or cannot be read); "
            "start it anew in another folder"
        )
    folder = folder.absolute()
    new = [word for word in words if word not in stored and not word.startswith(("run=", "resume="))]
    _refuse_others(stored, new)
    if key == "output_dir":
        new = [word for word in new if not word.startswith("output_dir=")]
    if (began_in := Path(hydra["hydra"]["runtime"]["cwd"])).is_dir():
        os.chdir(began_in)  # relative paths among its words start there
    # The other processes of a run that torchrun or srun starts have a folder of their own.
    place = place_of(folder) if rank() == 0 else []
    return [
        *config_words(hydra["hydra"]),
        *(word for word in hydra["hydra"]["overrides"]["hydra"] if not word.startswith(PLACE)),
        *stored,
        *new,
        *place,
        NO_RECORD,
        f"run={quoted(folder)}",
        "resume=true",
    ]


def stored_words(folder: Path) -> list[str] | None:
    """What a run was started with, but for its place; None where that is not known."""
    words = _read(folder, "overrides.yaml")
    return words if isinstance(words, list) else None


def config_words(hydra: Any) -> list[str]:
    """Words of a command line that find the same configuration files, of a `hydra` node composed or read."""
    folders = [f"--config-dir={folder}" for folder in config_folders(hydra)]
    return [*folders, f"--config-name={hydra['job']['config_name']}"]


def config_folders(hydra: Any) -> list[str]:
    """Folders of configuration files that the user named."""
    sources = hydra["runtime"]["config_sources"]
    return [source["path"] for source in sources if source["provider"] == "command-line"]


def check_unchanged(cfg: DictConfig) -> None:
    """Compare the configuration of a run that goes on with the one that it began with.

    Raises:
        ConfigError: a line for every key that differs.
    """
    folder = Path(cfg.run)
    then = _plain(OmegaConf.load(folder / HYDRA / "config.yaml"))
    now = _plain(cfg)
    errors = [
        f"{key}={now.get(key)}: run={folder} began with {then.get(key)}, and goes on with nothing else"
        for key in sorted(then.keys() | now.keys())
        if then.get(key) != now.get(key) or (key in then) != (key in now)
    ]
    if errors:
        raise ConfigError("\n".join(errors))


def clear_away(folder: Path) -> None:
    """Remove what a failure or a kill has left, now that the run goes on."""
    remove_leftovers(folder)
    remove_leftovers(folder / CHECKPOINTS)
    (folder / FAILED).unlink(missing_ok=True)


def _folder(run: str) -> Path:
    if run != "latest":
        return Path(run).expanduser()
    begun = [path.parent.parent for path in Path("outputs").glob(f"runs/*/{HYDRA}/overrides.yaml")]
    left = [folder for folder in begun if not (folder / RESULT).is_file()]
    if not left:
        raise RunError("run=latest: no unfinished run under ./outputs/runs")
    return max(left, key=lambda folder: (folder / HYDRA).stat().st_mtime_ns)


def _values(words: list[str]) -> Iterator[tuple[str, Any]]:
    """The values that words give to `run`, `resume` and `output_dir`."""
    for word in words:
        if word.startswith(("run=", "resume=", "output_dir=")):
            key, _, text = word.partition("=")
            try:
                yield key, OverridesParser.create().parse_override(word).value()
            except HydraException:  # a path with signs that mean something to Hydra
                yield key, text


def _read(folder: Path, name: str) -> Any:
    try:
        return yaml.safe_load((folder / HYDRA / name).read_text())
    except (OSError, yaml.YAMLError, UnicodeDecodeError):
        return None


def _is_record(hydra: Any) -> bool:
    try:
        return {"runtime", "job", "overrides"} <= hydra["hydra"].keys()
    except (TypeError, KeyError, AttributeError):
        return False


def _refuse_others(stored: list[str], new: list[str]) -> None:
    """Hydra would let the last of two values win, or speak of groups that were given twice."""
    was = {word.split("=", 1)[0]: word for word in stored}
    for word in new:
        key = word.split("=", 1)[0]
        if key in was and key != "output_dir":
            raise ConfigError(f"{word}: the run began with {was[key]}, and goes on with nothing else")


def _plain(cfg: Any) -> dict[str, Any]:
    """Values by dotted keys, without those of this start alone."""
    flat: dict[str, Any] = {}

    def add(prefix: str, node: Any) -> None:
        if isinstance(node, dict) and node:
            for key, value in node.items():
                add(f"{prefix}.{key}" if prefix else str(key), value)
        else:
            flat[prefix] = node

    content: Any = OmegaConf.to_container(cfg, resolve=True)
    add("", {key: value for key, value in content.items() if key not in OWN})
    return flat
