"""Runs side by side, from their result.json and failed.json files alone."""

import logging
import shlex
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsys.errors import RunError
from recsys.evaluation.objective import VAL_RMSE, Objective
from recsys.leaderboard.paired_test import PairedTest, Repeat, paired_test
from recsys.paths import conf_dir
from recsys.runs.folder import FAILED, RESULT, read_json

log = logging.getLogger(__name__)

# Keys that do not make another configuration, only another draw of the same one.
REPEATS = ("seed", "split.fold", "split.seed")
# Words of a command line that say where and how a run goes, not what is trained.
TECHNICAL = ("output_dir", "sweep.resume", "logger")
# Lines are ranked by the first; the second is shown.


@dataclass(frozen=True)
class Run:
    """One finished or failed run.

    Attributes:
        name: its folder, relative to what was asked for.
        overrides: as typed.
        content: of result.json, or of failed.json.
    """

    name: str
    overrides: tuple[str, ...]
    content: dict[str, Any]

    @property
    def completed(self) -> bool:
        """Whether it has a result."""
        return self.content["status"] == "completed"

    @property
    def pruned(self) -> bool:
        """Whether a search gave it up."""
        return self.content["status"] == "pruned"

    @property
    def is_average(self) -> bool:
        """Whether its network is the average of other runs'."""
        return "members" in self.content

    @property
    def choices(self) -> dict[str, str]:
        """Overrides as {key: value}."""
        return dict(word.lstrip("+~").split("=", 1) for word in self.overrides if "=" in word)

    @property
    def objective(self) -> Objective:
        """What its weights were chosen by."""
        told = self.content["objective"]
        return Objective(told["name"], told.get("mode", "min"))

    @property
    def fingerprint(self) -> str:
        """Of the rows in each part of the split, and of the data."""
        data = self.content["data"]
        return f"{data['sha256']} {data['split'].rsplit(' ', 1)[-1]}"

    @property
    def origin(self) -> str:
        """The data and the split, in words."""
        data = self.content["data"]
        return f"data {data['sha256'][:8]}, split {data['split']}"

    def repeat(self, metric: str) -> Repeat:
        """A metric, whose name starts with the part it was measured on, and which draw this run is."""
        data, value = self.content["data"], self.content["metrics"][metric]
        ratio = data[metric.split("/")[0]] / data["train"]
        return Repeat(self.fingerprint, self.content["seed"], ratio, value)


@dataclass(frozen=True)
class Line:
    """One configuration: runs that differ by seed or fold alone.

    Attributes:
        choices: overrides that all of them share.
        runs: the completed ones.
        missing: splits that other configurations were tested on and this one was not, since a run failed; its
            mean is that of other rows, so it stands behind all that have them.
        objective: what all lines are ranked by.
    """

    choices: dict[str, str]
    runs: tuple[Run, ...]
    missing: int = 0
    objective: Objective = VAL_RMSE

    def loss(self, *runs: Run) -> float:
        """The mean objective of some of the runs, of all without any, told so that less is better."""
        name, mode = self.objective
        mean = statistics.fmean(run.content["metrics"][name] for run in runs or self.runs)
        return -mean if mode == "max" else mean

    def mean(self, metric: str) -> float:
        """Of a metric over the runs."""
        return statistics.fmean(run.content["metrics"][metric] for run in self.runs)

    def deviation(self, metric: str) -> float | None:
        """Sample standard deviation of a metric over the runs; None for a single one."""
        values = [run.content["metrics"][metric] for run in self.runs]
        return statistics.stdev(values) if len(values) > 1 else None


def read_runs(folder: Path) -> list[Run]:
    """Every finished or failed run under a folder, by name.

    Raises:
        RunError: there is none.
    """
    runs = []
    for file in sorted([*folder.glob(f"**/{RESULT}"), *folder.glob(f"**/{FAILED}")]):
        if file.name == FAILED and file.with_name(RESULT).exists():
            continue
        try:
            content = read_json(file)
        except RunError as problem:  # one damaged file hides no other run
            log.warning("%s", problem)
            continue
        if (
            isinstance(content, dict) and {"status", "overrides"} <= content.keys()
        ):  # or it is another program's
            runs.append(Run(str(file.parent.relative_to(folder)), tuple(content["overrides"]), content))
    if not runs:
        raise RunError(f"dir={folder}: no finished run in it")
    return sorted(runs, key=lambda run: [_by_number(part) for part in run.name.split("/")])


def _by_number(part: str) -> tuple[int, int, str]:
    return (0, int(part), "") if part.isdecimal() else (1, 0, part)


def rank(runs: list[Run]) -> list[Line]:
    """Completed runs as configurations, the best mean validation value first, incomplete ones last.

    Raises:
        RunError: configurations were tested on other rows than one another, or have no objective in common,
            so that nothing can be compared.
    """
    objective = shared_objective([run for run in runs if run.completed])
    grouped: dict[tuple, list[Run]] = {}
    for run in runs:
        if run.completed:
            fixed = {k: v for k, v in run.choices.items() if k not in (*REPEATS, *TECHNICAL)}
            grouped.setdefault(tuple(sorted(fixed.items())), []).append(run)
    tested_on = {choices: {run.fingerprint for run in members} for choices, members in grouped.items()}
    whole = max(tested_on.values(), key=len, default=set())
    lines = []
    for choices, members in grouped.items():
        if not tested_on[choices] <= whole:
            first = next(runs[0] for key, runs in grouped.items() if tested_on[key] == whole)
            raise RunError(
                f"{first.name} and {members[0].name} were not tested on the same ratings "
                f"({first.origin}; {members[0].origin}): "
                "compare runs that share their test part"
            )
        lines.append(Line(dict(choices), tuple(members), len(whole - tested_on[choices]), objective))
    return sorted(lines, key=lambda line: (line.missing, line.loss()))


def shared_objective(runs: list[Run]) -> Objective:
    """The objective of one of the runs that all of them have measured.

    Among losses that is val/ndcg@k, which a run for ratings has too.

    Raises:
        RunError: there is none.
    """
    objectives = dict.fromkeys(run.objective for run in runs)
    for objective in objectives:
        if all(objective.name in run.content["metrics"] for run in runs):
            return objective
    if objectives:
        names = " and ".join(objective.name for objective in objectives)
        raise RunError(
            f"runs were chosen by {names}, and none of them was measured in all: compare runs that share one"
        )
    return VAL_RMSE


def varied_keys(lines: list[Line]) -> list[str]:
    """Keys that are not the same in all lines, in the order in which they were typed."""
    keys = dict.fromkeys(
        key for line in lines for run in line.runs for key in run.choices if key in line.choices
    )
    return [key for key in keys if len({line.choices.get(key) for line in lines}) > 1]


def against_best(lines: list[Line], metric: str | None = None) -> list[PairedTest | None]:
    """Every line's paired test against the first one; None for itself, and where they share no two runs.

    Args:
        lines: ranked.
        metric: None: what they are ranked by.
    """
    metric = metric or lines[0].objective.name if lines else ""
    repeats = [[run.repeat(metric) for run in line.runs] for line in lines]
    return [paired_test(own, repeats[0]) if place else None for place, own in enumerate(repeats)]


def table(lines: list[Line], test: bool = False) -> list[dict[str, Any]]:
    """One row per configuration; choosing by a test column is what a leaderboard should not teach.

    Args:
        lines: ranked.
        test: whether to show the test metric of all lines, and not of the chosen one alone.

    Returns:
        Rows with equal keys; "difference", "p" and "pairs" are there if any line shares two repeats with the
        first, and tell how far a line is behind it. Empty text where there is no value.
    """
    if not lines:
        return []
    metrics = (chosen := lines[0].objective.name, chosen.replace("val/", "test/"))
    tests = {metric: against_best(lines, metric) for metric in metrics[: 1 + test]}
    keys, repeated = varied_keys(lines), any(len(line.runs) > 1 for line in lines)
    rows = []
    for place, line in enumerate(lines):
        many = f"{len(line.runs)}, {line.missing} missing" if line.missing else len(line.runs)
        row: dict[str, Any] = {"job": line.runs[0].name if not repeated else many}
        row |= {key: line.choices.get(key, "") for key in keys}
        for metric in metrics:
            shown = metric in tests or place == 0
            row[metric] = round(line.mean(metric), 6) if shown else ""
            if repeated:
                deviation = line.deviation(metric)
                row[f"{metric} sd"] = round(deviation, 6) if shown and deviation is not None else ""
            if any(tests.get(metric, ())):
                row |= _test_columns(tests[metric][place], "" if metric == chosen else "test ")
        row["parameters"] = line.runs[0].content["model"]["parameters"]
        row["seconds"] = round(statistics.fmean(run.content["time"]["seconds"] for run in line.runs))
        rows.append(row)
    return [
        {"runs" if repeated and key == "job" else key: value for key, value in row.items()} for row in rows
    ]


def _test_columns(test: PairedTest | None, prefix: str) -> dict[str, Any]:
    columns: dict[str, Any] = {
        f"{prefix}difference": round(test.difference, 6) if test else "",
        f"{prefix}p": float(f"{test.p:.3g}") if test and test.p is not None else "",
    }
    if not prefix:  # they are the same for both metrics
        columns["pairs"] = f"{test.pairs} {test.over}" if test else ""
    return columns


def best_command(lines: list[Line]) -> str:
    """The command line that makes the best run again, alone."""
    best = min(lines[0].runs, key=lines[0].loss)
    words = [word for word in best.overrides if word.split("=")[0] not in ("output_dir", "sweep.resume")]
    for word in [word for word in words if word.startswith("sweep=")]:
        if Path(conf_dir(), *word.split("=", 1)).with_suffix(".yaml").is_file():
            words.remove(word)  # those that come with recsys say what is swept and nothing else
        else:
            words.append("hydra.mode=RUN")
    return shlex.join(["recsys-average" if best.is_average else "recsys-train", *words])
