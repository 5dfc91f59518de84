"""Refit: train from the beginning on the training and validation sets, for the number of epochs that was selected.

A run with refit=true trains twice. The first training, in the subfolder `first-training`, selects the number of epochs
with the validation set, and is not tested. The second one starts again with all ratings outside the test set. It has no
validation set, so it reuses the number of epochs and, with loss=joint, the relevance weight of the first.
"""

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

from annotated_types import Ge, Le
from omegaconf import DictConfig
from pytorch_lightning.callbacks import Callback

from recsys.data.datamodule import MovieLensDataModule
from recsys.errors import RunError
from recsys.evaluation.added_metrics import AddedMetrics
from recsys.evaluation.objective import Objective
from recsys.evaluation.ranking_metrics import RankingTask
from recsys.evaluation.summary import measure
from recsys.experiment.training_run import Trained, train_network
from recsys.models.choice import JointScorer
from recsys.runs.folder import FIRST_TRAINING, checkpoint_in, write_json
from recsys.runs.outcome import Count, Metric, MetricName, Record, read_record
from recsys.training.module import RatingModule
from recsys.training.trackers.group import Trackers

log = logging.getLogger(__name__)

SELECTION = "selection.json"  # in the folder of the first training; absent if it has not finished


class Selection(Record):
    """The result of the first training.

    Attributes:
        epoch: the best epoch, from 0.
        epochs: the number of epochs of the first training, those after the best one included.
        seconds: its duration.
        relevance_weight: w of `JointScorer`; None if the network does not learn choices.
        metrics: those of the validation set.
    """

    epoch: Count
    epochs: Count
    seconds: Annotated[float, Ge(0), Le(1e15)]
    relevance_weight: Annotated[float, Ge(0), Le(1e3)] | None
    metrics: dict[MetricName, Metric]


def fit_twice(
    cfg: DictConfig,
    folder: Path,
    data: MovieLensDataModule,
    task: RankingTask | None,
    objective: Objective,
    added: AddedMetrics,
    trackers: Trackers,
    callbacks: Sequence[Callback],
    resume: bool,
    start: float,
) -> tuple[Trained, Selection] | None:
    """Find the number of epochs, then train on the training and validation sets.

    Args:
        cfg: the validated configuration.
        folder: the run folder.
        data: the data module, after `setup`; at the end, its training set contains the validation set.
        task: the ranking task of the validation set.
        objective: the metric that selects the epoch.
        added: metrics in addition to the built-in ones.
        trackers: where the curves of both trainings are recorded.
        callbacks: further callbacks of the first training; those of the configuration are in both.
        resume: whether to resume an interrupted run.
        start: value of `time.perf_counter` at the start of the run.

    Returns:
        The second training, and the result of the first. None in further processes of a distributed run, which
        `recsys.config.constraints` does not allow together with refit, and with trainer.fast_dev_run.

    Raises:
        UserError: training failed, or a file of a run to resume is damaged.
    """
    record = folder / FIRST_TRAINING / SELECTION
    if not (resume and record.is_file()):
        (folder / FIRST_TRAINING).mkdir(exist_ok=True)
        last = checkpoint_in(folder / FIRST_TRAINING, "last") if resume else None
        first = train_network(cfg, folder / FIRST_TRAINING, data, trackers, callbacks, last, start)
        if first is None:
            return None
        write_json(record, _describe(first, data, task, added).model_dump())
    selection = Selection.model_validate(read_record(record, Selection))
    if not selection.epoch < selection.epochs <= cfg.max_epochs:
        raise RunError(
            f"{record}: epoch={selection.epoch}, epochs={selection.epochs}: epoch must be below epochs, and epochs at "
            f"most max_epochs={cfg.max_epochs}; start a new run"
        )
    if objective.name not in selection.metrics:
        raise RunError(
            f"{record}: metrics.{objective.name} is missing, the metric that selects the epoch; start a new run"
        )
    log.info("refit: training on the validation set, too, for %d epochs", selection.epoch + 1)
    data.train_on_validation_set()
    last = checkpoint_in(folder, "last") if resume else None
    now, epochs, prepare = time.perf_counter(), selection.epoch + 1, _reuse_relevance_weight(selection)
    second = train_network(cfg, folder, data, trackers, (), last, now, epochs, prepare)
    return None if second is None else (second, selection)


def _describe(
    trained: Trained, data: MovieLensDataModule, task: RankingTask | None, added: AddedMetrics
) -> Selection:
    joint = [module for module in trained.best.scorer.modules() if isinstance(module, JointScorer)]
    return Selection(
        epoch=trained.best.epoch,
        epochs=trained.trainer.current_epoch,
        seconds=round(trained.throughput.elapsed, 3),
        relevance_weight=float(joint[-1].relevance_weight) if joint else None,
        metrics=measure(trained.best.scorer, data.full, "val", task, added),
    )


def _reuse_relevance_weight(selection: Selection) -> Callable[[RatingModule], None]:
    """Return a function that gives a network the weight that the first training has selected."""

    def prepare(module: RatingModule) -> None:
        if selection.relevance_weight is not None and module.network.choice is not None:
            module.network.choice.relevance_weight.fill_(selection.relevance_weight)

    return prepare
