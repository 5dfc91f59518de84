"""The scorers of a network while it is trained, and their metrics on the validation set and the test set."""

from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from recsys.data.batches import Batch
from recsys.data.datamodule import MovieLensDataModule
from recsys.errors import ConfigError
from recsys.evaluation.ranking_metrics import RankingTask, ranking_task
from recsys.evaluation.rating_metrics import RatingErrors, prefixed
from recsys.models.base import RatingNetwork
from recsys.models.ensemble import average
from recsys.models.scorer import Scorer
from recsys.training.losses import Loss


class Evaluation:
    """Measures the average of the current scorer and the snapshots: by rating metrics, or, for a ranking loss, by
    ranking metrics.

    Args:
        network: the network.
        loss: says whether the network predicts ratings.

    Attributes:
        snapshots: scorers of earlier cycle ends; see callbacks/snapshots.py.
    """

    def __init__(self, network: RatingNetwork, loss: Loss) -> None:
        self.network, self.loss = network, loss
        self.snapshots: list[Scorer] = []
        self._current: Scorer | None = None
        self._errors: RatingErrors | None = None
        self._tasks: dict[str, RankingTask] = {}
        # Outputs for the validation batches, by number of the batch: those of a snapshot never change.
        self._outputs: WeakKeyDictionary[Scorer, dict[int, Tensor]] = WeakKeyDictionary()

    @property
    def scorer(self) -> Scorer:
        """The scorer of the latest evaluation, without snapshots; made now if there was none."""
        return self.network.scorer(self.loss.predicts_ratings) if self._current is None else self._current

    @property
    def outcome(self) -> Scorer:
        """The average of the snapshots and the current scorer."""
        return average([*self.snapshots, self.scorer])

    def forget_data(self) -> None:
        """Drop what depends on the data, which may have changed."""
        self._tasks = {}
        self._outputs.clear()

    def start(self, device: torch.device) -> None:
        """Make the scorer that is measured next from the network as it is now."""
        self.network.fill_untrained()
        self._current = self.network.scorer(self.loss.predicts_ratings)
        self._errors = RatingErrors(device, all_processes=True)

    def add(self, batch: Batch, number: int | None = None) -> None:
        """Add up the errors of a batch.

        Args:
            batch: the batch.
            number: of the batch, if it is the same in every evaluation: snapshots then score it once; otherwise None.
        """
        if not self.loss.predicts_ratings:
            return
        assert self._errors is not None
        scorers = [*self.snapshots, self.scorer]
        outputs = torch.stack([self._output(scorer, batch, number) for scorer in scorers]).mean(0)
        self._errors.update(scorers[-1].clipped(outputs), batch.ratings)

    def metrics(self, subset: str, data: Any) -> dict[str, float]:
        """Return rating metrics over all processes, or ranking metrics, which each process computes in full.

        Args:
            subset: "val" or "test".
            data: the data module.
        """
        if self.loss.predicts_ratings:
            assert self._errors is not None
            return prefixed(subset, self._errors.compute())
        return self.ranking_task(subset, data).measure(self.outcome)

    def ranking_task(self, subset: str, data: Any) -> RankingTask:
        """Return the ranking task of a subset.

        Raises:
            ConfigError: the data module has none.
        """
        if subset in self._tasks:
            return self._tasks[subset]
        if not isinstance(data, MovieLensDataModule):
            raise ConfigError(
                "ranking metrics need a MovieLensDataModule; call trainer.fit(module, datamodule=...)"
            )
        task = ranking_task(
            data.dataset, data.split, subset, data.ranking_k, data.ranking_threshold, required=True
        )
        if task is None:
            raise ConfigError(
                "ranking_k=0 with a ranking loss: weights are selected by val/ndcg@k; use ranking_k=10"
            )
        self._tasks[subset] = task
        return task

    def _output(self, scorer: Scorer, batch: Batch, number: int | None) -> Tensor:
        if number is None:
            return scorer.unclipped(batch.users, batch.items)
        known = self._outputs.setdefault(scorer, {})
        if number not in known:
            known[number] = scorer.unclipped(batch.users, batch.items)
        return known[number]
