"""The outcome of a run: the content of result.json, and the table printed at the end."""

import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from recsys.data.batches import Batch, count_cold
from recsys.data.biases import Biases
from recsys.data.dataset import Dataset
from recsys.data.splits import Split
from recsys.errors import RunError
from recsys.evaluation.added_metrics import NO_METRICS, AddedMetrics
from recsys.evaluation.baselines import baseline_metrics
from recsys.evaluation.objective import Objective
from recsys.evaluation.ranking_metrics import RankingTask
from recsys.evaluation.rating_metrics import rating_metrics
from recsys.models.choice import JointScorer
from recsys.models.scorer import Scorer
from recsys.paths import git_commit
from recsys.runs.checkpoint import LoadedCheckpoint
from recsys.tables import TextTable
from recsys.terminal import print_line


def describe_outcome(
    checkpoint: LoadedCheckpoint,
    dataset: Dataset,
    split: Split,
    split_name: str,
    objective: Objective,
    batches: Callable[[str], Iterable[Batch]],
    tasks: Mapping[str, RankingTask | None],
    biases: Biases,
    val_metrics: Mapping[str, float] | None = None,
    added: AddedMetrics = NO_METRICS,
) -> dict[str, Any]:
    """Evaluate a scorer on the validation set and the test set, and return the main part of result.json.

    Args:
        checkpoint: the scorer, on the device to evaluate on.
        dataset: the ratings.
        split: the split of the run.
        split_name: the split, its arguments and its fingerprint: "random(seed=0, val=0.1, test=0.1) 5b1d...".
        objective: the metric that selected the weights.
        batches: a function that returns all batches of a subset ("val" or "test"), in order.
        tasks: the ranking tasks of "val" and "test", None for no ranking metrics.
        biases: the bias model of the training set.
        val_metrics: those of the validation set, if the scorer was trained on it; None: measure them.
        added: metrics in addition to the built-in ones.
    """
    metrics = dict(val_metrics or {})
    for subset in ("val", "test") if val_metrics is None else ("test",):
        metrics |= measure(checkpoint.scorer, batches, subset, tasks[subset], added)
    if objective.name not in metrics:
        raise RunError(f"the objective {objective.name} is not among the metrics: {', '.join(metrics)}")
    return {
        "objective": {**objective._asdict(), "value": metrics[objective.name], "epoch": checkpoint.epoch},
        "metrics": metrics,
        "added_metrics": _measured(added, tasks, metrics),
        "baselines": baseline_metrics(dataset, split, "test", tasks["test"], biases, added),
        "ranking": _describe_ranking(tasks, checkpoint.scorer),
        "data": _describe_data(dataset, split, split_name),
        "model": checkpoint.model,
        "versions": _versions(),
    }


def measure(
    scorer: Scorer,
    batches: Callable[[str], Iterable[Batch]],
    subset: str,
    task: RankingTask | None,
    added: AddedMetrics = NO_METRICS,
) -> dict[str, float]:
    """Return the metrics of a scorer on a subset: rating metrics, ranking metrics, or both.

    Args:
        scorer: a scorer on the device to evaluate on.
        batches: a function that returns all batches of a subset, in order.
        subset: "train", "val" or "test".
        task: the ranking task of the subset; None for no ranking metrics.
        added: metrics in addition to the built-in ones.
    """
    metrics = rating_metrics(scorer, batches(subset), subset, added) if scorer.predicts_ratings else {}
    return metrics if task is None else metrics | task.measure(scorer, added)


def _measured(
    added: AddedMetrics, tasks: Mapping[str, RankingTask | None], metrics: Mapping[str, float]
) -> list[str]:
    """Return the names of the added metrics that were measured, such as "val/mape" and "test/mape"."""
    k = next((task.k for task in tasks.values() if task is not None), 0)
    names = [f"{subset}/{name}" for name in added.names(k) for subset in ("val", "test")]
    return [name for name in names if name in metrics]


def _describe_data(dataset: Dataset, split: Split, split_name: str) -> dict[str, Any]:
    """Describe the data and the split, so that `recsys-compare` can check that runs are comparable."""
    return {
        "name": dataset.name,
        "ratings": len(dataset),
        "users": len(dataset.user_ids),
        "items": len(dataset.item_ids),
        "sha256": dataset.sha256,
        "split": split_name,
        "train": len(split.train),
        "val": len(split.val),
        "test": len(split.test),
        "dropped": dataset.dropped,
        "has_ratings": dataset.has_ratings,
        # Cold-start ratings: the user or the item has no training rating.
        "cold": {
            subset: count_cold(dataset, split.train, getattr(split, subset)) for subset in ("val", "test")
        },
    }


def _describe_ranking(tasks: Mapping[str, RankingTask | None], scorer: Scorer) -> dict[str, Any] | None:
    """Return how rankings were measured and for how many users of each subset; None if they were not.

    With loss=joint, `relevance_weights` are the selected w of `JointScorer`, one for each averaged network.
    """
    measured = [task for task in tasks.values() if task is not None]
    if not measured:
        return None
    return {
        "k": measured[0].k,
        "threshold": measured[0].threshold,
        "ranked": "the full catalogue without items that the user rated in an earlier subset",
        "users": {task.subset: len(task.users) for task in measured},
        "relevance_weights": [
            float(module.relevance_weight) for module in scorer.modules() if isinstance(module, JointScorer)
        ],
    }


def _versions() -> dict[str, Any]:
    """Return what can affect the metrics: versions of packages, the git commit, and the number of threads."""
    import torch

    names = ("recsys", "torch", "pytorch-lightning", "hydra-core", "numpy")
    return {
        "python": ".".join(map(str, sys.version_info[:3])),
        **{name: version(name) for name in names},
        "commit": git_commit(),
        "threads": torch.get_num_threads(),
    }


def print_summary(result: dict[str, Any], folder: Path, watch: Sequence[str] = ()) -> None:
    """Print the test metrics of the run and of the baselines, then size, time and folder of the run.

    Args:
        result: the content of result.json.
        folder: the run folder.
        watch: commands that show the run in its experiment trackers.
    """
    data, ranking, selected_by = result["data"], result["ranking"], result["objective"]["name"]
    rows = "ratings" if data.get("has_ratings", True) else "interactions"
    title, columns = f"{data['name']}, {data['test']:,} test {rows}", ["test/rmse", "test/mae"]
    if ranking is not None and "test" in ranking["users"]:
        title += f", top {ranking['k']} of {data['items']:,} items for {ranking['users']['test']:,} users"
        columns += [f"test/{name}@{ranking['k']}" for name in ("ndcg", "recall")]
    columns += [name for name in result["added_metrics"] if name.startswith("test/")]
    models = result["baselines"] | {result["model"]["name"]: result["metrics"]}
    columns = [column for column in (*columns, selected_by) if any(column in one for one in models.values())]
    table = TextTable(title)
    table.add_column("model", no_wrap=True)
    for column in columns:
        table.add_column(_heading(column), is_number=True)
    for name, metrics in models.items():
        cells = (f"{metrics[column]:.4f}" if column in metrics else "" for column in columns)
        table.add_row([name, *cells], is_bold=metrics is result["metrics"])
    table.print()
    for line in (
        _facts(result),
        f"run: {folder}",
        *(f"watch: {command}" for command in watch),
    ):
        print_line(line)


def _facts(result: dict[str, Any]) -> str:
    """Return the line below the table: epochs, size, time and speed."""
    time, objective, model = result["time"], result["objective"], result["model"]
    facts = [f"best after epoch {objective['epoch'] + 1} of {time['epochs']}"]
    if members := result.get("members"):
        facts = [f"average of {len(members)} runs"]
    elif model["snapshots"] > 1:
        facts.append(f"average of {model['snapshots']} snapshots")
    if result.get("refit"):
        facts.append("trained again with the validation set")
    per_network = " per network" if model["snapshots"] > 1 else ""
    facts += [f"{model['parameters']:,} parameters{per_network}", f"{time['seconds']:.0f} s"]
    if time["train_ratings_per_second"]:
        facts.append(f"training at {time['train_ratings_per_second']:,.0f} ratings/s")
    return ", ".join(facts)


def _heading(metric: str) -> str:
    """Return "test RMSE" for "test/rmse"; a narrow terminal breaks it into two lines."""
    return re.sub("rmse|mae|ndcg", lambda name: name[0].upper(), metric.replace("/", " "))
