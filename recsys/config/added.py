"""Errors of what a configuration adds: callbacks and metrics; and of the objective."""

import logging
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from recsys.config.hardware import Config
from recsys.errors import ConfigError, first_line

if TYPE_CHECKING:
    from recsys.evaluation.added_metrics import AddedMetrics
    from recsys.training.losses import Loss


def metric_errors(cfg: Config, loss: "Loss") -> Iterator[str]:
    """Yield the errors of metrics.* and of the objective; each metric is tried on a few ratings."""
    from recsys.training.objective import build_metrics, build_objective

    try:
        added = build_metrics(cfg)
    except ConfigError as error:
        yield str(error)
        return
    errors = [
        *_unused_metrics(added, cfg["ranking"]["k"], loss),
        *_broken_metrics(added, cfg["ranking"]["k"]),
    ]
    yield from errors
    if not errors:
        try:
            build_objective(cfg, loss, added)
        except ConfigError as error:
            yield str(error)


def callback_errors(cfg: Config) -> Iterator[str]:
    """Yield the errors of callbacks.*: they are built, and passed to a Trainer that does not train."""
    if not cfg["callbacks"]:
        return
    import pytorch_lightning as pl
    from omegaconf import DictConfig

    from recsys.training.trainer_options import added_callbacks

    try:
        callbacks = added_callbacks(DictConfig(cfg))
    except ConfigError as error:
        yield str(error)
        return
    for name, callback in zip(cfg["callbacks"], callbacks, strict=True):
        monitor = getattr(callback, "monitor", None)
        if cfg["refit"] and isinstance(monitor, str) and monitor.startswith("val/"):
            yield (
                f"callbacks.{name}: monitors {monitor}, but the second training of refit=true has no validation set; "
                f"use refit=false or ~callbacks.{name}"
            )
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            pl.Trainer(accelerator="cpu", logger=False, callbacks=callbacks)
    except Exception as error:  # Lightning, or a hook of the user
        yield f"callbacks: {first_line(error)}"


def _unused_metrics(added: "AddedMetrics", k: int, loss: "Loss") -> Iterator[str]:
    """Yield the errors of metrics that would not be computed."""
    name = type(loss).__name__
    if not loss.predicts_ratings:
        for metric in added.rating:
            yield f"metrics.{metric}: the loss {name} does not predict ratings; use ~metrics.{metric} or loss=pointwise"
    for metric, ranking in added.ranking.items():
        if k == 0:
            yield f"metrics.{metric}: ranking.k=0 measures no rankings; use ranking.k=10 or ~metrics.{metric}"
        elif ranking.cutoff(k) > k:
            needed = ranking.cutoff(k)
            yield f"metrics.{metric}: measures the top {needed}, and ranking.k={k}; use ranking.k={needed}"


def _broken_metrics(added: "AddedMetrics", k: int) -> Iterator[str]:
    """Yield the errors of metrics that do not compute a number."""
    import numpy as np
    import torch

    from recsys.evaluation.added_metrics import for_processes
    from recsys.evaluation.ranked_lists import RankedLists

    predictions = torch.tensor([3.5, 2.0, 4.25, 1.5], dtype=torch.float64)
    ratings = torch.tensor([4.0, 2.0, 5.0, 1.0], dtype=torch.float64)
    for name, metric in added.rating.items():

        def measure(metric: Any = metric) -> float:
            own = for_processes(metric, "cpu", all_processes=False)
            own.update(predictions, ratings)
            return float(own.compute())

        yield from _trial(name, measure, "from update(predictions, ratings)")
    if not (k and added.ranking):
        return
    hits = np.zeros((2, min(k, 100)), dtype=bool)
    hits[:, 0] = True
    items = np.tile(np.arange(hits.shape[1]), (2, 1))
    counts = np.ones(hits.shape[1] + 1, dtype=np.int64)
    lists = RankedLists(k, np.arange(2), items, hits, np.array([1, 2]), counts, 2)
    for name, ranking in added.ranking.items():
        yield from _trial(name, lambda ranking=ranking: float(ranking(lists)), "from the ranked lists")


def _trial(name: str, measure: Any, how: str) -> Iterator[str]:
    try:
        with warnings.catch_warnings(action="ignore"):
            measure()
    except Exception as error:  # metrics of the user can raise anything
        yield f"metrics.{name}: cannot compute one number {how} ({first_line(error)})"
