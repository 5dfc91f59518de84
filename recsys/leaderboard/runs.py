"""The records of runs: their result.json or failed.json, without their checkpoints."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from recsys.errors import RunError
from recsys.evaluation.objective import Objective
from recsys.leaderboard.paired_test import Repeat
from recsys.runs.folder import FAILED, RESULT, entries_named
from recsys.runs.outcome import Completed, Failed, read_record

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunRecord:
    """The record of one completed, failed or pruned run.

    Attributes:
        name: the run folder, relative to that of the leaderboard; of several folders, its path.
        overrides: the overrides of the run.
        content: the content of result.json or failed.json.
        folder: the run folder, with the record of its command; None: unknown.
        filled: choices that replace the overrides, from `with_comparable_choices`; None: the overrides.
    """

    name: str
    overrides: tuple[str, ...]
    content: dict[str, Any]
    folder: Path | None = None
    filled: dict[str, str] | None = None

    @property
    def completed(self) -> bool:
        """Whether the run has a result."""
        return self.content["status"] == "completed"

    @property
    def pruned(self) -> bool:
        """Whether a hyperparameter search stopped the run early."""
        return self.content["status"] == "pruned"

    @property
    def is_average(self) -> bool:
        """Whether the run is the average of other runs."""
        return "members" in self.content

    @property
    def choices(self) -> dict[str, str]:
        """The choices by which the run is compared with others, as {key: value}."""
        if self.filled is not None:
            return self.filled
        return dict(override.lstrip("+~").split("=", 1) for override in self.overrides if "=" in override)

    @property
    def objective(self) -> Objective:
        """The metric that selected the weights of the run."""
        objective = self.content["objective"]
        return Objective(objective["name"], objective["mode"])

    @property
    def added_metrics(self) -> list[str]:
        """The measured metrics that the configuration of the run adds, such as "val/mape" and "test/mape"."""
        return [name for name in self.content.get("added_metrics", ()) if name in self.content["metrics"]]

    @property
    def seed(self) -> int:
        """The seed of the training."""
        return self.content["seed"]

    @property
    def fingerprint(self) -> str:
        """A digest of the data and the split: equal for runs with the same training, validation and test sets."""
        data = self.content["data"]
        return f"{data['sha256']} {data['split'].rsplit(' ', 1)[-1]}"

    @property
    def origin(self) -> str:
        """The data and the split, for messages."""
        data = self.content["data"]
        return f"data {data['name']} ({data['sha256'][:8]}), split {data['split']}"

    def repeat(self, metric: str) -> Repeat:
        """Return a metric with the split and seed of the run, for `paired_test`."""
        data, value = self.content["data"], self.content["metrics"][metric]
        subset = metric.split("/")[0]
        return Repeat(self.fingerprint, self.seed, data[subset] / data["train"], value)


def read_runs(folder: Path) -> list[RunRecord]:
    """Return the records of all completed, failed and pruned runs under a folder, sorted by name.

    A file that cannot be read, or is not a record of this version, is logged and skipped.

    Raises:
        RunError: there is no such run.
    """
    runs = []
    for file in entries_named(folder, RESULT, FAILED):
        if file.name == FAILED and file.with_name(RESULT).exists():
            continue
        try:
            content = read_record(file, Completed if file.name == RESULT else Failed)
        except RunError as error:
            log.warning("skipped: %s", error)
            continue
        runs.append(
            RunRecord(str(file.parent.relative_to(folder)), tuple(content["overrides"]), content, file.parent)
        )
    if not runs:
        raise RunError(f"dir={folder}: contains no finished run")
    return sorted(runs, key=lambda run: [_natural_order(part) for part in run.name.split("/")])


def read_folders(folders: Sequence[Path]) -> list[RunRecord]:
    """Return the records of the runs under some folders; see `read_runs`. Of several folders, names are paths.

    Raises:
        RunError: there is no run in one of the folders.
    """
    if len(folders) == 1:
        return read_runs(folders[0])
    return [replace(run, name=str(folder / run.name)) for folder in folders for run in read_runs(folder)]


def _natural_order(part: str) -> tuple[int, int, str]:
    return (0, int(part), "") if part.isdecimal() else (1, 0, part)
