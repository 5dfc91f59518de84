"""The command that repeats the best configuration of a leaderboard."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from recsys.leaderboard.choices import REPEAT_KEYS
from recsys.leaderboard.ranking import Configuration
from recsys.leaderboard.runs import RunRecord
from recsys.paths import conf_dir
from recsys.runs.record import recorded_arguments, recorded_sweep, without_start_keys


def best_command(configurations: Sequence[Configuration]) -> str:
    """Return the shell command that repeats all runs of the best configuration.

    It has all seeds and folds of these runs, because the best of them is only the luckiest.
    """
    runs = configurations[0].runs
    first = runs[0]
    overrides = without_start_keys(first.overrides)
    if first.is_average:
        return shlex.join(["recsys-average", *overrides])
    arguments = recorded_arguments(first.folder, "train") if first.folder else []
    # The sweep files of recsys set nothing besides the swept keys, which the overrides of a job have.
    known = {f"sweep={file.stem}" for file in Path(conf_dir(), "sweep").glob("*.yaml")}
    own = [override for override in overrides if override not in known]
    if repeats := _repeats(runs):  # typed values replace those of a file that sweeps
        own = [override for override in own if _key(override) not in repeats]
        own += [f"{key}={','.join(values)}" for key, values in repeats.items()]
        return shlex.join(["recsys-train", "-m", *arguments, *own])
    is_swept = own == overrides and first.folder is not None and recorded_sweep(first.folder)
    if is_swept or any(override.startswith("sweep=") for override in own):
        own.append("hydra.mode=RUN")  # keep the other settings of the file that sweeps, but do not sweep
    return shlex.join(["recsys-train", *arguments, *own])


def _repeats(runs: Sequence[RunRecord]) -> dict[str, list[str]]:
    """Return the values of the keys by which runs of one configuration differ: {"seed": ["1", "2"]}."""
    values: dict[str, list[str]] = {}
    for run in runs:
        typed = {"seed": str(run.content["seed"])} | run.choices
        for key in REPEAT_KEYS:
            if key in typed:
                values.setdefault(key, []).append(typed[key])
    return {key: list(dict.fromkeys(own)) for key, own in values.items() if len(set(own)) > 1}


def _key(override: str) -> str:
    return override.lstrip("+~").split("=", 1)[0]
