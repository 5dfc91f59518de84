"""The rows of a leaderboard."""

from collections.abc import Sequence
from typing import Any

from recsys.leaderboard.paired_test import PairedTest
from recsys.leaderboard.ranking import Configuration, compare_with_best, varied_keys


def table(configurations: Sequence[Configuration], test: bool = False) -> list[dict[str, Any]]:
    """Return one row per configuration.

    Only the best configuration shows its test metric by default, because choosing by test metrics biases them.

    Args:
        configurations: ranked.
        test: whether all configurations show their test metric.

    Returns:
        Rows with the same keys; "" is a missing value. The columns "difference", "p" and "pairs" compare each
        configuration with the first one, and exist if any of them can be tested.
    """
    if not configurations:
        return []
    objective = configurations[0].objective.name
    metrics = (objective, objective.replace("val/", "test/"))
    tests = {metric: compare_with_best(configurations, metric) for metric in metrics[: 1 + test]}
    keys, repeated = varied_keys(configurations), any(len(own.runs) > 1 for own in configurations)
    rows = []
    for index, own in enumerate(configurations):
        row: dict[str, Any] = {"runs": _count(own)} if repeated else {"job": own.runs[0].name}
        row |= {key: own.choices.get(key, "") for key in keys}
        for metric in metrics:
            is_shown = metric in tests or index == 0
            row[metric] = round(own.mean(metric), 6) if is_shown else ""
            if repeated:
                deviation = own.deviation(metric)
                row[f"{metric} sd"] = round(deviation, 6) if is_shown and deviation is not None else ""
            if any(tests.get(metric, ())):
                row |= _test_columns(tests[metric][index], "" if metric == objective else "test ")
        for metric in shared_metrics(configurations):
            if metric not in metrics:
                is_shown = metric.startswith("val/") or test or index == 0
                row[metric] = round(own.mean(metric), 6) if is_shown else ""
        row["parameters"] = own.parameters
        row["seconds"] = round(own.seconds)
        rows.append(row)
    return rows


def shared_metrics(configurations: Sequence[Configuration]) -> list[str]:
    """Return the metrics of the validation and the test set that all runs have added."""
    runs = [run for own in configurations for run in own.runs]
    common = set(runs[0].added_metrics).intersection(*(run.added_metrics for run in runs))
    return [name for name in runs[0].added_metrics if name in common and name.startswith(("val/", "test/"))]


def _count(configuration: Configuration) -> Any:
    """Return the number of runs, with the number of missing splits if there are any."""
    count = len(configuration.runs)
    return f"{count}, {configuration.missing} missing" if configuration.missing else count


def _test_columns(test: PairedTest | None, prefix: str) -> dict[str, Any]:
    columns: dict[str, Any] = {
        f"{prefix}difference": round(test.difference, 6) if test else "",
        f"{prefix}p": float(f"{test.p:.3g}") if test and test.p is not None else "",
    }
    if not prefix:  # the test metric has the same pairs
        columns["pairs"] = f"{test.pairs} {test.over}" if test else ""
    return columns
