"""Fit a network, test its best weights once, and describe the outcome; the run folder exists already."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import Callback

from recsys.data.biases import fit_biases
from recsys.evaluation.ranking_metrics import ranking_tasks
from recsys.evaluation.summary import describe_outcome
from recsys.experiment.refit import fit_twice
from recsys.experiment.training_run import train_network
from recsys.leaderboard.names import job_name, swept_keys
from recsys.runs.data import DATA, RunData, save_data
from recsys.training.build import build_data, build_loss
from recsys.training.callbacks.signals import stopped_by_signals
from recsys.training.objective import build_metrics, build_objective
from recsys.training.trackers.group import Trackers, open_trackers
from recsys.training.trackers.hparams import hparams
from recsys.training.trackers.run import TrackedRun

log = logging.getLogger(__name__)


def fit(
    cfg: DictConfig,
    folder: Path,
    overrides: Sequence[str],
    callbacks: Sequence[Callback] = (),
    last: Path | None = None,
    start: float = 0.0,
) -> dict[str, Any]:
    """Train, test the best weights once, and return the content of result.json.

    Args:
        cfg: the validated configuration.
        folder: the run folder; in further processes of a distributed run, a temporary folder.
        overrides: those of the command line, for the record.
        callbacks: further callbacks.
        last: the checkpoint to resume from, if it exists; None: start from the beginning.
        start: when the run began, as of `time.perf_counter`.

    Returns:
        The content of result.json; empty in further processes of a distributed run, and with trainer.fast_dev_run.

    Raises:
        UserError: a tracker cannot be used, the data does not fit the configuration, or training failed.
    """
    swept = swept_keys(folder)
    config: dict[str, Any] = OmegaConf.to_container(cfg)  # type: ignore[assignment]
    run = TrackedRun(folder, config, job_name(swept, overrides), tuple(swept))
    with stopped_by_signals(folder), open_trackers(cfg, run) as trackers:
        return _fit(cfg, run, trackers, overrides, callbacks, last, start)


def _fit(
    cfg: DictConfig,
    run: TrackedRun,
    trackers: Trackers,
    overrides: Sequence[str],
    callbacks: Sequence[Callback],
    last: Path | None,
    start: float,
) -> dict[str, Any]:
    folder, data = run.folder, build_data(cfg)
    data.setup()
    added, k, threshold = build_metrics(cfg), cfg.ranking.k, cfg.ranking.threshold
    objective, selection = build_objective(cfg, build_loss(cfg), added), None
    tasks = ranking_tasks(data.dataset, data.split, k, threshold, not added.is_rating(objective.name))
    trackers.start(_tags(run, data.dataset.name))
    if cfg.refit:
        both = fit_twice(
            cfg, folder, data, tasks["val"], objective, added, trackers, callbacks, last is not None, start
        )
        trained, selection = (None, None) if both is None else both
        tasks = ranking_tasks(data.dataset, data.split, k, threshold)
    else:
        trained = train_network(cfg, folder, data, trackers, callbacks, last, start)
    if trained is None:
        return {}
    best, trainer, throughput = trained
    biases = fit_biases(data.dataset, data.split.train)
    outcome = describe_outcome(
        best,
        data.dataset,
        data.split,
        f"{data.split_method.describe()} {data.fingerprint}",
        objective,
        data.full,
        tasks,
        biases,
        None if selection is None else selection.metrics,
        added,
    )
    size = save_data(RunData.of(data.dataset, data.split, biases), folder, best.data)
    log.info("%s: %.1f MB, so that the run can recommend without its ratings", DATA, size / 1e6)
    metrics = outcome["metrics"]
    own = [name for name in outcome["added_metrics"] if name.startswith("val/")]
    wanted = dict.fromkeys(("val/rmse", "val/mae", objective.name, *own))
    shown = tuple(name for name in wanted if name in metrics)
    trackers.log_result(metrics, shown, trainer.global_step)
    seconds = throughput.elapsed + (0 if selection is None else selection.seconds)
    return {
        "status": "completed",
        "seed": cfg.seed,
        "overrides": list(overrides),
        **outcome,
        "time": {
            "epochs": trainer.current_epoch if selection is None else selection.epochs,
            "seconds": round(seconds, 3),
            "train_ratings_per_second": round(throughput.ratings_per_second, 1),
        },
        "refit": None if selection is None else {"epochs": best.epoch + 1, "ratings": len(data.split.train)},
    }


def _tags(run: TrackedRun, data: str) -> dict[str, str]:
    """Return the tags of a run: the names of its data, split, model, loss and sweep, and its seed."""
    values = hparams(run.config, ("split", "model", "loss", "seed"))
    tags = {"data": data} | {key: str(values[key]) for key in ("split", "model", "loss", "seed")}
    return tags if run.sweep is None else tags | {"sweep": run.sweep.name}
