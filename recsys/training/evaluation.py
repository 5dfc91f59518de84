"""Evaluate a network on the validation and test sets while it is trained."""

from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from recsys.data.batches import Batch
from recsys.data.datamodule import MovieLensDataModule
from recsys.errors import ConfigError
from recsys.evaluation.added_metrics import NO_METRICS, AddedMetrics
from recsys.evaluation.objective import Objective
from recsys.evaluation.ranking_metrics import RankingTask, ranking_task
from recsys.evaluation.rating_metrics import RatingErrors, prefixed
from recsys.evaluation.relevance_weight import best_relevance_weight
from recsys.models.base import RatingNetwork
from recsys.models.choice import JointScorer
from recsys.models.ensemble import average
from recsys.models.scorer import Scorer
from recsys.training.losses import Loss

RANKING_CURVES = ("ndcg", "recall")
MAX_USERS = 1000  # whose rankings are measured in each epoch, next to ratings
MAX_SCORES = 1 << 23  # of these users and all items: 32 MB


class Evaluation:
    """Measures the average of the current scorer and the snapshots.

    Its metrics are rating metrics, ranking metrics, or both. With both, the ranking metrics of the validation set are
    those of the current scorer alone, unless one of them is the objective: rankings by many scorers would take longer
    than training.

    Args:
        network: the network.
        loss: decides whether the network predicts ratings.
        added: metrics in addition to the built-in ones.
        objective: the metric that selects weights; None: that of the loss.

    Attributes:
        snapshots: scorers of earlier cycle ends; see callbacks/snapshots.py.
    """

    def __init__(
        self,
        network: RatingNetwork,
        loss: Loss,
        added: AddedMetrics = NO_METRICS,
        objective: Objective | None = None,
    ) -> None:
        self.network, self.loss, self.added = network, loss, added
        self.objective = objective
        self.snapshots: list[Scorer] = []
        self._current: Scorer | None = None
        self._errors: RatingErrors | None = None
        self._tasks: dict[str, RankingTask | None] = {}
        # Outputs by the number of the validation batch. They are kept, because those of a snapshot never change.
        self._outputs: WeakKeyDictionary[Scorer, dict[int, Tensor]] = WeakKeyDictionary()

    @property
    def scorer(self) -> Scorer:
        """The scorer of the latest evaluation, without snapshots; before the first one, a new scorer."""
        return self.network.scorer(self.loss.predicts_ratings) if self._current is None else self._current

    @property
    def selects_by_ranking(self) -> bool:
        """Whether the objective is a ranking metric."""
        if self.objective is None:
            return not self.loss.predicts_ratings
        return not self.added.is_rating(self.objective.name)

    @property
    def ranks(self) -> bool:
        """Whether ranking metrics are measured in each epoch."""
        return self.loss.ranks or self.selects_by_ranking or bool(self.added.ranking)

    @property
    def outcome(self) -> Scorer:
        """The average of the snapshots and the current scorer."""
        return average([*self.snapshots, self.scorer])

    def reset_data(self) -> None:
        """Drop cached outputs and ranking tasks: the data may have changed."""
        self._tasks = {}
        self._outputs.clear()

    def start(self, device: torch.device) -> None:
        """Start an evaluation of the current weights; vectors of untrained users and items are filled in."""
        self.network.fill_untrained()
        self._current = self.network.scorer(self.loss.predicts_ratings)
        self._errors = RatingErrors(device, all_processes=True, added=self.added.rating)

    def add(self, batch: Batch, number: int | None = None) -> None:
        """Add up the errors of a batch.

        Args:
            batch: the batch.
            number: number of the batch if every evaluation has the same batches, so that a snapshot scores it once;
                otherwise None.
        """
        if not self.loss.predicts_ratings:
            return
        assert self._errors is not None
        scorers = [*self.snapshots, self.scorer]
        outputs = torch.stack([self._output(scorer, batch, number) for scorer in scorers]).mean(0)
        self._errors.update(scorers[-1].clipped(outputs), batch.ratings)

    def metrics(self, subset: str, data: Any) -> dict[str, float]:
        """Return rating metrics over all processes, and ranking metrics, which each process computes in full.

        Args:
            subset: "val" or "test".
            data: the data module.
        """
        metrics = self._rating_metrics(subset) if self.loss.predicts_ratings else {}
        if self.ranks and (task := self.ranking_task(subset, data)) is not None:
            metrics |= task.measure(self.outcome, self.added)
        return metrics

    def curves(self, data: Any) -> dict[str, float]:
        """Return the metrics of the validation set that are logged as curves: of many ranking metrics, only some.

        Args:
            data: the data module.
        """
        if not self.ranks:
            return self.metrics("val", data)
        task = self.ranking_task("val", data)
        if self.loss.predicts_ratings:
            return self._rating_metrics("val") | ({} if task is None else self._ranking_curves(task))
        assert task is not None
        return self._shown(task.measure(self.outcome, self.added), task.k)

    def ranking_task(self, subset: str, data: Any) -> RankingTask | None:
        """Return the ranking task of a subset; None if none is needed and there is none.

        Raises:
            ConfigError: the data module is of another class, or its `ranking_k` is 0.
        """
        if subset in self._tasks:
            return self._tasks[subset]
        required = self.selects_by_ranking
        if not isinstance(data, MovieLensDataModule):
            if not required:
                return None
            raise ConfigError(
                "ranking metrics need a MovieLensDataModule; call trainer.fit(module, datamodule=...)"
            )
        task = ranking_task(
            data.dataset, data.split, subset, data.ranking_k, data.ranking_threshold, required=required
        )
        if task is None and required:
            raise ConfigError(
                "ranking_k=0: weights are selected by a ranking metric, such as val/ndcg@k; use ranking_k=10"
            )
        self._tasks[subset] = task
        return task

    def _rating_metrics(self, subset: str) -> dict[str, float]:
        assert self._errors is not None
        return prefixed(subset, self._errors.compute())

    def _ranking_curves(self, task: RankingTask) -> dict[str, float]:
        """Return ranking metrics with the weight of ratings that ranks best.

        They are those of the current scorer for some users; if one of them is the objective, those of the outcome for
        all users.
        """
        some = task.limited_to(min(MAX_USERS, max(1, MAX_SCORES // self.network.n_items)))
        choice, metrics = self.network.choice, None
        if isinstance(self.scorer, JointScorer) and choice is not None:
            weight, metrics = best_relevance_weight(self.scorer, some)
            self.scorer.relevance_weight.fill_(weight)
            choice.relevance_weight.fill_(weight)
        if self.selects_by_ranking:
            metrics = task.measure(self.outcome, self.added)
        elif metrics is None or self.added.ranking:
            metrics = some.measure(self.scorer, self.added)
        return self._shown(metrics, task.k)

    def _shown(self, metrics: dict[str, float], k: int) -> dict[str, float]:
        """Return those ranking metrics that are logged as curves."""
        objective = self.objective or self.loss.objective(k)
        shown = {objective.name, *(f"val/{name}@{k}" for name in RANKING_CURVES)}
        shown |= {f"val/{name}" for name in self.added.names(k)}
        return {name: value for name, value in metrics.items() if name in shown}

    def _output(self, scorer: Scorer, batch: Batch, number: int | None) -> Tensor:
        if number is None:
            return scorer.unclipped(batch.users, batch.items)
        cached = self._outputs.setdefault(scorer, {})
        if number not in cached:
            cached[number] = scorer.unclipped(batch.users, batch.items)
        return cached[number]
