"""Group runs by configuration, and rank the configurations by their objective on the validation set."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from recsys.errors import RunError, listed
from recsys.evaluation.objective import Objective
from recsys.leaderboard.choices import REPEAT_KEYS, TECHNICAL_KEYS, is_below, with_comparable_choices
from recsys.leaderboard.paired_test import PairedTest, paired_test
from recsys.leaderboard.runs import RunRecord


@dataclass(frozen=True)
class Configuration:
    """One configuration and its completed runs, which differ only by seed, split seed or fold.

    Attributes:
        choices: the values that all runs share, by key.
        runs: the completed runs.
        missing: number of splits that another configuration was tested on and this one was not, because runs
            failed. Its means are over other test sets, so it is ranked behind all configurations with fewer.
        objective: the metric that all configurations are ranked by.
    """

    choices: dict[str, str]
    runs: tuple[RunRecord, ...]
    missing: int
    objective: Objective

    @property
    def loss(self) -> float:
        """The mean objective over the runs, as a value to minimise."""
        return self.objective.sign * self.mean(self.objective.name)

    @property
    def parameters(self) -> int:
        """Number of parameters of one network, also if a run averages several."""
        return self.runs[0].content["model"]["parameters"]

    @property
    def seconds(self) -> float:
        """Mean duration of the runs."""
        return statistics.fmean(run.content["time"]["seconds"] for run in self.runs)

    def mean(self, metric: str) -> float:
        """Return the mean of a metric over the runs."""
        return statistics.fmean(run.content["metrics"][metric] for run in self.runs)

    def deviation(self, metric: str) -> float | None:
        """Return the sample standard deviation of a metric over the runs; None for a single run."""
        values = [run.content["metrics"][metric] for run in self.runs]
        return statistics.stdev(values) if len(values) > 1 else None


def rank(runs: Sequence[RunRecord]) -> list[Configuration]:
    """Group completed runs into configurations, ranked by missing splits first and mean objective second.

    Of several runs with the same configuration, split and seed, the first counts: they are not independent.

    Raises:
        RunError: the configurations have different test sets, or no objective in common.
    """
    completed = with_comparable_choices([run for run in runs if run.completed])
    if not completed:
        return []
    objective = shared_objective(completed)
    for run in completed:  # also of one configuration: the file may have changed
        if run.content["data"]["sha256"] != completed[0].content["data"]["sha256"]:
            raise _different_test_sets(completed[0], run)
    groups: dict[tuple[tuple[str, str], ...], list[RunRecord]] = {}
    for run in completed:
        fixed = {
            key: value
            for key, value in run.choices.items()
            if not is_below(key, (*REPEAT_KEYS, *TECHNICAL_KEYS))
        }
        group = groups.setdefault(tuple(sorted(fixed.items())), [])
        if all((other.fingerprint, other.seed) != (run.fingerprint, run.seed) for other in group):
            group.append(run)
    tested_on = {choices: {run.fingerprint for run in group} for choices, group in groups.items()}
    reference = max(groups, key=lambda choices: len(tested_on[choices]))
    configurations = []
    for choices, group in groups.items():
        if not tested_on[choices] <= tested_on[reference]:
            raise _different_test_sets(groups[reference][0], group[0])
        missing = len(tested_on[reference] - tested_on[choices])
        configurations.append(Configuration(dict(choices), tuple(group), missing, objective))
    return sorted(configurations, key=lambda configuration: (configuration.missing, configuration.loss))


def _different_test_sets(first: RunRecord, second: RunRecord) -> RunError:
    return RunError(
        f"{first.name} and {second.name} have different test sets ({first.origin}; {second.origin}): "
        "select runs with the same data and split, by folder: dir=[<folder>,<folder>]"
    )


def shared_objective(runs: Sequence[RunRecord]) -> Objective:
    """Return the first objective that all runs have measured on the validation and the test set.

    For a rating loss and a ranking loss this is val/ndcg@k, which runs with a rating loss measure as well.

    Raises:
        RunError: no objective has been measured in all runs.
    """
    objectives: dict[Objective, list[str]] = {}  # with the names of their runs
    for run in runs:
        objectives.setdefault(run.objective, []).append(run.name)
    for objective in objectives:
        both = {objective.name, objective.name.replace("val/", "test/")}
        if all(both <= run.content["metrics"].keys() for run in runs):
            return objective
    groups = (f"{objective.name} ({listed(names, 3)})" for objective, names in objectives.items())
    raise RunError(
        f"these runs have the objectives {' and '.join(groups)}, and not one of them was measured in all runs: "
        "select runs with the same objective, by folder: dir=[<folder>,<folder>]"
    )


def varied_keys(configurations: Sequence[Configuration]) -> list[str]:
    """Return the keys with several values, typed keys first."""
    keys = dict.fromkeys(
        key
        for configuration in configurations
        for run in configuration.runs
        for key in run.choices
        if key in configuration.choices
    )
    return [key for key in keys if len({own.choices.get(key) for own in configurations}) > 1]


def compare_with_best(
    configurations: Sequence[Configuration], metric: str | None = None
) -> list[PairedTest | None]:
    """Test every configuration against the first one.

    Args:
        configurations: ranked.
        metric: the metric to test; None: the objective.

    Returns:
        One test per configuration; None for the first one, and for those with fewer than two draws in common
        with it.
    """
    if not configurations:
        return []
    metric = metric or configurations[0].objective.name
    first, *others = [[run.repeat(metric) for run in own.runs] for own in configurations]
    return [None, *(paired_test(other, first) for other in others)]
