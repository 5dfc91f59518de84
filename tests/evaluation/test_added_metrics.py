"""Metrics of torchmetrics and of one's own, next to the built-in ones."""

import logging
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchmetrics
from support.datasets import dataset_of
from torchmetrics import retrieval

from recsys.data.splits import Split
from recsys.errors import ConfigError
from recsys.evaluation.added_metrics import RANKING_METRICS, RATING_METRICS, AddedMetrics, RankingMetric
from recsys.evaluation.ranked_lists import RankedLists
from recsys.evaluation.ranking_metrics import RankingTask
from recsys.evaluation.rating_metrics import RatingErrors

MAPE = {"_target_": "torchmetrics.MeanAbsolutePercentageError"}


class ShareOfLists(RankingMetric):
    """The share of the users whose first item is relevant."""

    higher_is_better = True

    def __call__(self, lists: RankedLists) -> float:
        return float(lists.hits[:, 0].mean())


class Unbounded(torchmetrics.MeanMetric):
    """Infinite for every input."""

    def update(self, preds: torch.Tensor, target: torch.Tensor) -> None:
        super().update(torch.full_like(preds, torch.inf))


def added(k: int = 3, **targets: str) -> AddedMetrics:
    return AddedMetrics.of({name: {"_target_": target} for name, target in targets.items()}, k)


def some_lists(k: int = 3) -> tuple[RankedLists, np.ndarray, np.ndarray]:
    """Return the top k of 20 users among 12 items, all scores, and which items are relevant."""
    generator = np.random.default_rng(1)
    scores, relevant = generator.random((20, 12)), generator.random((20, 12)) < 0.3
    relevant[:, 5] = True
    items = np.argsort(-scores, axis=1)[:, :k]
    hits = np.take_along_axis(relevant, items, axis=1)
    lists = RankedLists(k, np.arange(20), items, hits, relevant.sum(1), np.ones(12, dtype=np.int64), 20)
    return lists, scores, relevant


def test_a_rating_metric_is_pooled_over_batches() -> None:
    errors = RatingErrors(added=AddedMetrics.of({"mape": MAPE}, 0).rating)
    errors.update(torch.tensor([2.0]), torch.tensor([4.0]))
    errors.update(torch.tensor([5.0, 1.0, 3.0]), torch.tensor([4.0, 1.0, 2.0]))
    assert errors.compute()["mape"] == (0.5 + 0.25 + 0 + 0.5) / 4


def test_an_instance_is_not_changed_by_a_measurement() -> None:
    metrics = AddedMetrics.of({"mape": MAPE}, 0)
    for rating in (4.0, 2.0):
        errors = RatingErrors(added=metrics.rating)
        errors.update(torch.tensor([3.0]), torch.tensor([rating]))
        assert errors.compute()["mape"] == 1 / rating


@pytest.mark.parametrize("name", ["MAP", "MRR", "Recall", "NormalizedDCG", "HitRate", "Precision"])
@pytest.mark.parametrize("top_k", [None, 1, 2])
def test_retrieval_metrics_are_those_of_the_full_ranking(name: str, top_k: int | None) -> None:
    lists, scores, relevant = some_lists(k=3)
    node = {"_target_": f"torchmetrics.retrieval.Retrieval{name}"} | (
        {} if top_k is None else {"top_k": top_k}
    )
    full = getattr(retrieval, f"Retrieval{name}")(top_k=top_k or 3)
    users = np.arange(20).repeat(12)
    full.update(*map(torch.from_numpy, (scores.ravel(), relevant.ravel())), indexes=torch.from_numpy(users))
    measured = AddedMetrics.of({"mine": node}, 3).measure(lists)
    assert measured == {f"mine@{top_k or 3}": pytest.approx(float(full.compute()), abs=1e-6)}
    assert 0 < float(full.compute()) < 1


def test_a_ranking_metric_of_ones_own_is_measured_with_the_built_in_ones() -> None:
    """Item i is rated 1 + i % 5 by the user of its row: items 3 and 4 are relevant to user 0, 8 and 9 to user 1."""
    dataset = dataset_of([0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
    rows = np.arange(10)
    split = Split(train=rows, val=rows[:1], test=rows)
    task = RankingTask.of(dataset, split, "test", 2)
    recommended = np.array([[3, 0], [0, 8]])  # a hit at rank 1, and one at rank 2
    metrics = task.metrics(recommended, added(share=f"{__name__}.ShareOfLists"))
    assert metrics["test/share@2"] == 0.5
    assert metrics["test/mrr@2"] == 0.75
    assert metrics.keys() - {"test/share@2"} == {f"test/{name}@2" for name in RANKING_METRICS}


def test_names_and_directions() -> None:
    metrics = AddedMetrics.of(
        {
            "mape": MAPE,
            "map": {"_target_": "torchmetrics.retrieval.RetrievalMAP", "top_k": 5},
            "share": {"_target_": f"{__name__}.ShareOfLists"},
            "mean": {"_target_": "torchmetrics.MeanMetric"},
        },
        10,
    )
    assert metrics.names(10) == ["mape", "mean", "map@5", "share@10"]
    modes = metrics.modes(True, 10)
    assert [modes[name] for name in ("rmse", "mape", "mean", "ndcg@10", "map@5", "share@10")] == [
        *("min", "min", None, "max", "max", "max")
    ]
    assert metrics.modes(True, 0).keys() == {*RATING_METRICS, "mape", "mean"}
    assert not metrics.modes(False, 10).keys() & {"rmse", "mape"}
    assert metrics.is_rating("val/mape")
    assert not metrics.is_rating("val/map@5")


def test_a_value_that_is_not_finite_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    errors = RatingErrors(added=added(endless=f"{__name__}.Unbounded").rating)
    errors.update(torch.tensor([2.0]), torch.tensor([4.0]))
    with caplog.at_level(logging.WARNING, "recsys"):
        assert errors.compute() == {"rmse": 2.0, "mae": 2.0}
    assert caplog.messages == ["metrics.endless is inf, so it is left out here"]


@pytest.mark.parametrize(
    ("name", "target", "message"),
    [
        ("rmse", "torchmetrics.MeanSquaredError", r"metrics\.rmse: a name .* none of rmse"),
        ("a/b", "torchmetrics.MeanSquaredError", r"metrics\.a/b: a name has letters"),
        ("x", "torchmetrics.retrieval.RetrievalFallOut", r"metrics\.x: RetrievalFallOut needs a ranking"),
        ("x", "torchmetrics.retrieval.RetrievalRPrecision", r"metrics\.x: RetrievalRPrecision needs"),
        (
            "x",
            {"_target_": "torchmetrics.retrieval.RetrievalMAP", "top_k": 0},
            r"metrics\.x: top_k=0 must be",
        ),
        ("x", "torch.nn.Identity", r"metrics\.x: a Identity is not a metric.*RankingMetric"),
        ("x", "torchmetrics.MinkowskiDistance", r"metrics\.x: .*missing.*'p'"),
    ],
)
def test_what_is_not_a_metric(name: str, target: str | dict[str, Any], message: str) -> None:
    node = target if isinstance(target, dict) else {"_target_": target}
    with pytest.raises(ConfigError, match=message):
        AddedMetrics.of({name: node}, 10)


def test_the_example_of_the_documentation() -> None:
    """All 12 items once is even; one item for all users is as uneven as possible."""
    page = Path(__file__).parents[2] / "docs" / "metrics.md"
    (example,) = re.findall(r"```python\n(.*?)```", page.read_text(), re.S)
    names: dict[str, Any] = {}
    exec(example, names)
    gini, (lists, _, _) = names["Gini"](), some_lists(k=3)
    even = replace(lists, items=np.arange(12).reshape(4, 3))
    assert gini(even) == pytest.approx(0)
    assert gini(replace(lists, items=np.full((20, 1), 7))) == pytest.approx(11 / 12)
