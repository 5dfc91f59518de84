"""Metrics that a configuration adds (`metrics.<name>`): rating metrics of torchmetrics, and ranking metrics."""

import copy
import inspect
import logging
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from hydra.utils import instantiate
from torchmetrics import Metric
from torchmetrics.retrieval import RetrievalAUROC, RetrievalFallOut
from torchmetrics.retrieval.base import RetrievalMetric

from recsys.errors import ConfigError, first_line
from recsys.evaluation.ranked_lists import RankedLists
from recsys.runs.targets import import_target
from recsys.types import Mode

log = logging.getLogger(__name__)

NAME = re.compile(r"[A-Za-z][\w-]{0,49}")
RATING_METRICS = ("rmse", "mae")
RANKING_METRICS = ("ndcg", "recall", "precision", "mrr", "hit", "coverage", "novelty")


class RankingMetric(ABC):
    """The base class of ranking metrics of your own.

    Attributes:
        higher_is_better: None: unknown, so that `objective_mode` has to say so if the metric is the objective.
    """

    higher_is_better: bool | None = None

    @abstractmethod
    def __call__(self, lists: RankedLists) -> float:
        """Return the metric of the recommendations of all users."""

    def cutoff(self, k: int) -> int:
        """Return how many of the k recommended items are measured: the number after the @ in the metric's name."""
        return k


class TorchRetrieval(RankingMetric):
    """A metric of torchmetrics.retrieval, given each user's top k, and below them the relevant items that are missing.

    A metric that is cut off at `top_k` <= k has the same value as on a ranking of the full catalogue.

    Args:
        metric: the metric.
        top_k: where it is cut off.

    Raises:
        TypeError: the metric depends on the order of items below the cutoff.
    """

    def __init__(self, metric: RetrievalMetric, top_k: int) -> None:
        if isinstance(metric, RetrievalAUROC | RetrievalFallOut):
            raise _needs_full_ranking(type(metric))
        self.metric, self.top_k = metric, top_k
        self.higher_is_better = metric.higher_is_better

    @classmethod
    def of(cls, target: type[RetrievalMetric], node: Mapping[str, Any], k: int) -> "TorchRetrieval":
        """Build a metric; without a `top_k`, it is cut off at k.

        Raises:
            TypeError: it has no such argument.
        """
        if "top_k" not in inspect.signature(target).parameters:
            raise _needs_full_ranking(target)
        top_k = node.get("top_k")
        if top_k is None:
            top_k = k or 1
        if not isinstance(top_k, int) or top_k < 1:
            raise TypeError(f"top_k={top_k!s:.60} must be a whole number from 1")
        return cls(instantiate({**node, "top_k": top_k}, _convert_="all"), top_k)

    def cutoff(self, k: int) -> int:
        """Return `top_k` of the metric."""
        return self.top_k

    def __call__(self, lists: RankedLists) -> float:
        """Return the value that torchmetrics computes."""
        metric: Any = copy.deepcopy(self.metric)
        metric.distributed_available_fn = _one_process  # all processes measure all users
        n_users, length = lists.hits.shape
        missed = lists.n_relevant - lists.hits.sum(1)
        # torchmetrics ignores items with a score of 0 or below.
        preds = np.concatenate([np.tile(np.arange(length, 0, -1.0), n_users), np.full(missed.sum(), 0.5)])
        target = np.concatenate([lists.hits.reshape(-1), np.ones(missed.sum(), dtype=bool)])
        users = np.arange(n_users)
        indexes = np.concatenate([users.repeat(length), users.repeat(missed)])
        metric.update(
            torch.from_numpy(preds).float(), torch.from_numpy(target), indexes=torch.from_numpy(indexes)
        )
        return float(metric.compute())


def _needs_full_ranking(metric: type) -> TypeError:
    return TypeError(
        f"{metric.__name__} needs a ranking of the full catalogue, and a metric gets the top ranking.k items; use one "
        "with the argument top_k, such as torchmetrics.retrieval.RetrievalMAP"
    )


@dataclass(frozen=True)
class AddedMetrics:
    """The metrics that a configuration adds, by name.

    Attributes:
        rating: updated with (predictions, ratings), both (B,), predictions clipped to the scale.
        ranking: called with `RankedLists`.
    """

    rating: Mapping[str, Metric] = field(default_factory=dict)
    ranking: Mapping[str, RankingMetric] = field(default_factory=dict)

    @classmethod
    def of(cls, nodes: Mapping[str, Any], k: int) -> "AddedMetrics":
        """Build metrics from the node `metrics` of a configuration.

        Args:
            nodes: a name and a node with `_target_` for each.
            k: number of recommendations per user; 0: ranking metrics are not measured.

        Raises:
            ConfigError: a name is not possible, or a node does not describe a metric.
        """
        rating: dict[str, Metric] = {}
        ranking: dict[str, RankingMetric] = {}
        for name, node in nodes.items():
            if not NAME.fullmatch(str(name)) or name in (*RATING_METRICS, *RANKING_METRICS):
                raise ConfigError(
                    f"metrics.{name!s:.60}: a name has letters, digits, - and _, starts with a letter, and is none of "
                    f"{', '.join((*RATING_METRICS, *RANKING_METRICS))}; choose another name"
                )
            try:
                target = import_target(node["_target_"])
                if inspect.isclass(target) and issubclass(target, RetrievalMetric):
                    metric: Any = TorchRetrieval.of(target, node, k)
                else:
                    metric = instantiate(node, _convert_="all")
            except Exception as error:  # constructors of the user can raise anything
                raise ConfigError(f"metrics.{name}: {first_line(error.__cause__ or error)}") from None
            if isinstance(metric, RankingMetric):
                ranking[name] = metric
            elif isinstance(metric, Metric):
                rating[name] = metric
            else:
                raise ConfigError(
                    f"metrics.{name}: a {type(metric).__name__} is not a metric; use a subclass of torchmetrics.Metric "
                    "or of recsys.evaluation.RankingMetric"
                )
        return cls(rating, ranking)

    def modes(self, predicts_ratings: bool, k: int) -> dict[str, Mode | None]:
        """Return the names of all computed metrics without their subset, and the better direction; None: unknown.

        Args:
            predicts_ratings: whether rating metrics are computed.
            k: number of recommendations per user; 0: no ranking metrics.
        """
        modes: dict[str, Mode | None] = {}
        if predicts_ratings:
            modes |= dict.fromkeys(RATING_METRICS, "min")
            modes |= {name: _mode(metric.higher_is_better) for name, metric in self.rating.items()}
        if k:
            modes |= {f"{name}@{k}": "max" for name in RANKING_METRICS}
            modes |= {
                f"{name}@{metric.cutoff(k)}": _mode(metric.higher_is_better)
                for name, metric in self.ranking.items()
            }
        return modes

    def is_rating(self, metric: str) -> bool:
        """Return whether a metric such as "val/rmse" is a rating metric."""
        return metric.partition("/")[2] in (*RATING_METRICS, *self.rating)

    def names(self, k: int) -> list[str]:
        """Return the names of the added metrics without their subset."""
        return [*self.rating, *(f"{name}@{metric.cutoff(k)}" for name, metric in self.ranking.items() if k)]

    def measure(self, lists: RankedLists) -> dict[str, float]:
        """Return the added ranking metrics of recommendations: {"map@10": ...}; see `finite`."""
        return finite(
            {f"{name}@{metric.cutoff(lists.k)}": metric(lists) for name, metric in self.ranking.items()}
        )


NO_METRICS = AddedMetrics()


def finite(values: Mapping[str, Any]) -> dict[str, float]:
    """Return the values that are finite numbers; the others are left out with a warning."""
    numbers = {name: float(value) for name, value in values.items()}
    for name, number in numbers.items():
        if not math.isfinite(number):
            log.warning("metrics.%s is %s, so it is left out here", name.split("@")[0], number)
    return {name: number for name, number in numbers.items() if math.isfinite(number)}


def for_processes(metric: Metric, device: torch.device | str, all_processes: bool) -> Metric:
    """Return a new metric without values, in float64 where the device has it.

    Args:
        metric: stays as it is.
        device: where values are added up.
        all_processes: whether `compute` covers the values of all processes of a distributed run.
    """
    new = copy.deepcopy(metric)
    new.reset()
    if not all_processes:
        new.distributed_available_fn = _one_process
    if torch.device(device).type != "mps":
        new.set_dtype(torch.float64)
    return new.to(device)


def _one_process() -> bool:
    return False


def _mode(higher_is_better: bool | None) -> Mode | None:
    if higher_is_better is None:
        return None
    return "max" if higher_is_better else "min"
