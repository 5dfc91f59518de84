"""Refit: train on the training and validation sets for as many epochs as a first training has found to be best.

A run with refit=true trains twice. The first training, in the subfolder `search`, selects the number of epochs with the
validation set, and is not tested. The second one starts again with all ratings outside the test set. It has nothing to
select with, so it takes over the number of epochs, and the weight of predicted ratings in rankings.
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
from recsys.evaluation.ranking_metrics import RankingTask
from recsys.evaluation.summary import measure
from recsys.experiment.training_run import Trained, train_network
from recsys.models.choice import JointScorer
from recsys.runs.folder import SEARCH, checkpoint_in, write_json
from recsys.runs.outcome import Count, Metric, Record, Text, read_record
from recsys.training.module import RatingModule

log = logging.getLogger(__name__)

FOUND = "found.json"  # in the folder of the first training; absent if it has not finished


class Found(Record):
    """What the first training has found.

    Attributes:
        epoch: the best epoch, from 0.
        epochs: the number of epochs that it took to see that.
        seconds: the time that it took.
        liked_weight: the weight of predicted ratings in rankings; None if the network does not learn choices.
        metrics: those of the validation set.
    """

    epoch: Count
    epochs: Count
    seconds: Annotated[float, Ge(0), Le(1e15)]
    liked_weight: Annotated[float, Ge(0), Le(1e3)] | None
    metrics: dict[Text, Metric]


def fit_twice(
    cfg: DictConfig,
    folder: Path,
    data: MovieLensDataModule,
    task: RankingTask | None,
    overrides: Sequence[str],
    callbacks: Sequence[Callback],
    resume: bool,
    start: float,
) -> tuple[Trained, Found] | None:
    """Find the number of epochs, then train on the training and validation sets.

    Args:
        cfg: the validated configuration.
        folder: the run folder.
        data: the data module, after `setup`; at the end, its training set contains the validation set.
        task: the ranking task of the validation set.
        overrides: those of the command line.
        callbacks: further callbacks of the first training.
        resume: whether to continue what was interrupted.
        start: when the run began, as of `time.perf_counter`.

    Returns:
        The second training, and what the first one has found; None in further processes of a distributed run.

    Raises:
        UserError: training failed, or a file of a run to resume is damaged.
    """
    record = folder / SEARCH / FOUND
    if not (resume and record.is_file()):
        (folder / SEARCH).mkdir(exist_ok=True)
        last = checkpoint_in(folder / SEARCH, "last") if resume else None
        first = train_network(cfg, folder / SEARCH, data, overrides, callbacks, last, start)
        if first is None:
            return None
        write_json(record, _describe(first, data, task).model_dump())
    found = Found.model_validate(read_record(record, Found))
    if found.epoch >= cfg.max_epochs:
        raise RunError(
            f"{record}: epoch {found.epoch} is not below max_epochs={cfg.max_epochs}; start a new run"
        )
    log.info("refit: training on the validation set, too, for %d epochs", found.epoch + 1)
    data.train_on_validation_set()
    last = checkpoint_in(folder, "last") if resume else None
    now, epochs, prepare = time.perf_counter(), found.epoch + 1, _keep_liked_weight(found)
    second = train_network(cfg, folder, data, overrides, (), last, now, epochs, prepare)
    return None if second is None else (second, found)


def _describe(trained: Trained, data: MovieLensDataModule, task: RankingTask | None) -> Found:
    joint = [module for module in trained.best.scorer.modules() if isinstance(module, JointScorer)]
    return Found(
        epoch=trained.best.epoch,
        epochs=trained.trainer.current_epoch,
        seconds=round(trained.throughput.elapsed, 3),
        liked_weight=float(joint[-1].liked_weight) if joint else None,
        metrics=measure(trained.best.scorer, data.full, "val", task),
    )


def _keep_liked_weight(found: Found) -> Callable[[RatingModule], None]:
    """Return a function that gives a network the weight that the validation set has selected."""

    def prepare(module: RatingModule) -> None:
        if found.liked_weight is not None and module.network.choice is not None:
            module.network.choice.liked_weight.fill_(found.liked_weight)

    return prepare
