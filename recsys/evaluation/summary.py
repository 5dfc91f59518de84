"""What a run tells at its end: the facts in result.json, and the closing table."""

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from rich.console import Console
from rich.table import Table

from recsys.data.batches import Batch, count_cold
from recsys.data.dataset import Dataset
from recsys.data.splits import Split
from recsys.evaluation.baselines import baseline_metrics
from recsys.evaluation.objective import objective_of
from recsys.evaluation.ranking_metrics import RankingTask
from recsys.evaluation.rating_metrics import measure
from recsys.runs.checkpoint import LoadedCheckpoint


def kebab(target: str) -> str:
    """The name people type for a class or function: "embedding-net" of "recsys.models...EmbeddingNet"."""
    last = target.rsplit(".", 1)[-1]
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])|_", "-", last).lower()


def name_of_model(model: Mapping[str, Any]) -> str:
    """What people type after model=: its class, but "history" for a NeuMF that has one."""
    return "history" if model.get("history") else kebab(model["_target_"])


def describe_outcome(
    trained: LoadedCheckpoint,
    dataset: Dataset,
    split: Split,
    batches: Callable[[str], Iterable[Batch]],
    tasks: Mapping[str, RankingTask | None],
) -> dict[str, Any]:
    """Measure a network on its validation and test parts: what result.json tells of it, however it was made.

    Args:
        trained: the network, on the device to measure on.
        dataset: the ratings.
        split: the run's own.
        batches: from "val" or "test" to all of that part, in order.
        tasks: what lists are measured by, for both.
    """
    config, network = trained.config, trained.network
    metrics: dict[str, float] = {}
    for part in ("val", "test"):
        if network.rates:  # scores that only order items have no errors
            metrics |= measure(network, batches(part)).metrics(part)
        if (task := tasks[part]) is not None:
            metrics |= task.measure(network)
    objective = objective_of(config)
    return {
        "objective": {**objective._asdict(), "value": metrics[objective.name], "epoch": trained.epoch},
        "metrics": metrics,
        "baselines": baseline_metrics(dataset, split, "test", tasks["test"]),
        "ranking": describe_ranking(tasks),
        "data": describe_data(config, dataset, split),
        "model": {
            "name": name_of_model(config["model"]),
            "parameters": sum(p.numel() for p in network.parameters() if p.requires_grad),
        },
        "versions": versions(),
    }


def describe_data(config: dict[str, Any], dataset: Dataset, split: Split) -> dict[str, Any]:
    """What was trained and tested on; enough to tell whether two runs may be compared."""
    method = instantiate(config["split"], _convert_="all")
    return {
        "name": dataset.name,
        "ratings": len(dataset),
        "users": len(dataset.user_ids),
        "items": len(dataset.item_ids),
        "sha256": dataset.sha256,
        "split": f"{method.describe()} {split.fingerprint}",
        "train": len(split.train),
        "val": len(split.val),
        "test": len(split.test),
        "dropped": dataset.dropped,
        # pairs whose user or item has no training rating: they predict from the mean row
        "cold": {part: count_cold(dataset, split.train, getattr(split, part)) for part in ("val", "test")},
    }


def describe_ranking(tasks: Mapping[str, RankingTask | None]) -> dict[str, Any] | None:
    """How lists were measured, and for how many users of each part; None where they were not."""
    there = [task for task in tasks.values() if task is not None]
    if not there:
        return None
    return {
        "k": there[0].k,
        "threshold": there[0].threshold,
        "ranked": "the full catalogue, without what the user has rated in an earlier part",
        "users": {task.part: len(task.users) for task in there},
    }


def versions() -> dict[str, Any]:
    """What the numbers may depend on; on a CPU also the number of threads."""
    import torch

    names = ("recsys", "torch", "pytorch-lightning", "hydra-core", "numpy")
    python = ".".join(map(str, sys.version_info[:3]))
    return {"python": python, **{name: version(name) for name in names}, "threads": torch.get_num_threads()}


def print_summary(result: dict[str, Any], folder: Path) -> None:
    """The closing table: this run and the baselines on the same test part, each by what it has."""
    data, ranking, chosen = result["data"], result["ranking"], result["objective"]["name"]
    title, columns = f"{data['name']}, {data['test']:,} test pairs", ["test/rmse", "test/mae"]
    if ranking is not None and "test" in ranking["users"]:
        title += f", top {ranking['k']} of {data['items']:,} items for {ranking['users']['test']:,} users"
        columns += [f"test/{name}@{ranking['k']}" for name in ("ndcg", "recall")]
    table = Table(title=title, title_justify="left")
    table.add_column("model", no_wrap=True)
    for column in (*columns, chosen):
        table.add_column(_heading(column), justify="right")
    for name, metrics in (result["baselines"] | {result["model"]["name"]: result["metrics"]}).items():
        shown = (f"{metrics[column]:.4f}" if column in metrics else "" for column in (*columns, chosen))
        table.add_row(name, *shown, style="bold" if metrics is result["metrics"] else None)
    console = Console()
    console.print(table)
    time, objective = result["time"], result["objective"]
    told = f"best after epoch {objective['epoch'] + 1} of {time['epochs']}"
    if members := result.get("members"):
        told = f"average of {len(members)} runs"
    told += f", {result['model']['parameters']:,} parameters, {time['seconds']:.0f} s"
    if time["train_ratings_per_second"]:
        told += f", training at {time['train_ratings_per_second']:,.0f} ratings/s"
    for line in (told, f"run: {folder}", f"watch: tensorboard --logdir {folder.parent}"):
        console.print(line, soft_wrap=True, highlight=False)


def _heading(metric: str) -> str:
    """ "test RMSE" of "test/rmse"; a narrow terminal breaks it in two lines."""
    return re.sub("rmse|mae|ndcg", lambda word: word[0].upper(), metric.replace("/", " "))
