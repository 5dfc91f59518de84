"""The command that repeats the best run of a leaderboard."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from recsys.leaderboard.ranking import Configuration
from recsys.paths import conf_dir
from recsys.runs.record import without_start_keys


def best_command(configurations: Sequence[Configuration]) -> str:
    """Return the shell command that repeats the best run of the best configuration."""
    objective = configurations[0].objective
    best = min(
        configurations[0].runs, key=lambda run: objective.sign * run.content["metrics"][objective.name]
    )
    overrides = without_start_keys(best.overrides)
    known = {f"sweep={file.stem}" for file in Path(conf_dir(), "sweep").glob("*.yaml")}
    for override in [override for override in overrides if override.startswith("sweep=")]:
        if override in known:
            overrides.remove(override)  # the sweep files of recsys set nothing besides the swept keys
        else:
            overrides.append("hydra.mode=RUN")  # keep the other settings of the user's file, but do not sweep
    return shlex.join(["recsys-average" if best.is_average else "recsys-train", *overrides])
