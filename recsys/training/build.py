"""Build data module, module and trainer from a configuration."""

import logging
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import Callback, LearningRateMonitor
from pytorch_lightning.loggers import Logger
from pytorch_lightning.plugins.environments import SLURMEnvironment
from torch.optim import Optimizer

from recsys.data.datamodule import MovieLensDataModule
from recsys.data.seeds import seed_for
from recsys.models.base import RatingNetwork
from recsys.runs.checkpoint import make_metadata
from recsys.runs.folder import CHECKPOINTS
from recsys.training.auto_loss import choose_loss
from recsys.training.callbacks.cycle_end import (
    CycleEndCheckpoint,
    CycleEndEarlyStopping,
    FinalCheckpoint,
    LastCheckpoint,
)
from recsys.training.callbacks.metadata import CheckpointMetadata
from recsys.training.callbacks.progress import EpochBar, EpochLog
from recsys.training.callbacks.snapshots import SnapshotEnsemble
from recsys.training.callbacks.threads import Threads
from recsys.training.checkpoint_io import AtomicCheckpointIO
from recsys.training.losses import Loss
from recsys.training.memory import reuse_freed_memory
from recsys.training.module import RatingModule
from recsys.training.objective import build_metrics, build_objective
from recsys.training.schedules import Schedule
from recsys.training.trainer_options import added_callbacks, shows_bar, trainer_options


def build_data(cfg: DictConfig) -> MovieLensDataModule:
    """Return the data module of a configuration; nothing is downloaded yet."""
    return MovieLensDataModule(
        instantiate(cfg.data, _convert_="all"),
        instantiate(cfg.split, _convert_="all"),
        cfg.batch_size,
        cfg.seed,
        cfg.ranking.k,
        cfg.ranking.threshold,
    )


def build_loss(cfg: DictConfig) -> Loss:
    """Return the loss of a configuration; see `choose_loss` for loss=auto."""
    return instantiate(choose_loss(cfg).loss, _convert_="all")


def build_schedule(cfg: DictConfig) -> Schedule:
    """Return the learning-rate schedule of a configuration."""
    return instantiate(cfg.schedule, _convert_="all")


def build_optimizer(cfg: DictConfig) -> Callable[..., Optimizer]:
    """Return the optimizer of a configuration: a function of the parameters."""
    optimizer: Callable[..., Optimizer] = instantiate(cfg.optimizer, _partial_=True, _convert_="all")
    if cfg.gradient_clip > 0 and cfg.hardware.precision != "32-true":
        # Under mixed precision a fused optimizer unscales the gradients itself, and Lightning then cannot clip them.
        example = optimizer([torch.nn.Parameter(torch.zeros(1))])
        if example.defaults.get("fused"):
            return partial(optimizer, fused=False)
    return optimizer


def build_module(cfg: DictConfig, data: MovieLensDataModule) -> RatingModule:
    """Return the module of a configuration, with a network sized for the data.

    Args:
        cfg: the configuration.
        data: the data module, after `setup`.
    """
    options: dict[str, Any] = OmegaConf.to_container(cfg.model, resolve=True)  # type: ignore[assignment]
    network_class: type[RatingNetwork] = get_class(options.pop("_target_"))
    loss, metrics = build_loss(cfg), build_metrics(cfg)
    torch.manual_seed(seed_for(cfg.seed, "init"))
    network = network_class.from_data(data, **options, **loss.network_arguments)
    return RatingModule(
        network,
        lr=cfg.optimizer.lr,
        optimizer=build_optimizer(cfg),
        schedule=build_schedule(cfg),
        loss=loss,
        seed=cfg.seed,
        compiled=cfg.hardware.compile,
        cuda_graph=cfg.hardware.cuda_graph,
        added_metrics=metrics,
        objective=build_objective(cfg, loss, metrics),
    )


def build_callbacks(
    cfg: DictConfig,
    folder: Path,
    data: MovieLensDataModule,
    module: RatingModule,
    epochs: int | None = None,
) -> list[Callback]:
    """Return the callbacks that a configuration describes: checkpoints, early stopping, snapshots, averaging, progress.

    Those of the group `callbacks` are the last ones, and new instances.

    Args:
        cfg: the configuration.
        folder: the run folder.
        data: the data module, after `setup`.
        module: from `build_module`.
        epochs: train for this many epochs without validation, and keep the last weights; None: validate.
    """
    checkpoints = folder / CHECKPOINTS
    cycle_ends = module.schedule.cycle_ends(cfg.max_epochs if epochs is None else epochs)
    if epochs is None:
        cycle_ends = validated(cycle_ends, cfg.trainer.check_val_every_n_epoch)
    objective = module.objective(cfg.ranking.k)
    selection: dict[str, Any] = {
        "monitor": objective.name,
        "mode": objective.mode,
        "cycle_ends": cycle_ends,
    }
    config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    metadata = make_metadata(
        module.network, module.loss.predicts_ratings, data.dataset, data.fingerprint, config
    )
    best: dict[str, Any] = {"dirpath": checkpoints, "filename": "best", "enable_version_counter": False}
    patience = module.schedule.patience_in_cycles(cfg.patience)
    selecting: list[Callback] = [
        CycleEndCheckpoint(**best, **selection),
        # The module raises on a metric that is not finite; EarlyStopping would end the run as if it was complete.
        CycleEndEarlyStopping(patience=patience, check_finite=False, **selection),
    ]
    if epochs is not None:
        selecting = [FinalCheckpoint(epochs, **best)]
    callbacks: list[Callback] = [
        CheckpointMetadata(metadata),
        *selecting,
        LastCheckpoint(checkpoints),
        EpochBar(refresh_rate=20) if shows_bar(cfg) else EpochLog(),
        Threads(cfg.batch_size),
    ]
    if cfg.snapshots > 1:
        callbacks.append(SnapshotEnsemble(cfg.snapshots, cycle_ends))
    if cfg.averaging:
        # First, before callbacks that read or save the weights.
        callbacks.insert(0, instantiate(cfg.averaging, _convert_="all"))
    if cfg.get("logger") and not cfg.trainer.fast_dev_run:
        callbacks.append(LearningRateMonitor("step"))
    return [*callbacks, *added_callbacks(cfg)]


def validated(cycle_ends: set[int], every: int) -> set[int]:
    """Return those cycle ends that are validated: weights are compared there."""
    return {epoch for epoch in cycle_ends if epoch % every == 0}


def build_trainer(
    cfg: DictConfig,
    folder: Path,
    callbacks: Sequence[Callback],
    loggers: Sequence[Logger] = (),
    epochs: int | None = None,
) -> pl.Trainer:
    """Return a Trainer with the hardware, loggers and callbacks of a run.

    Args:
        cfg: the configuration.
        folder: the run folder.
        callbacks: see `build_callbacks`.
        loggers: of the run's trackers; needed if cfg.logger is not empty.
        epochs: see `build_callbacks`.
    """
    _filter_warnings()
    reuse_freed_memory()
    hardware: dict[str, Any] = OmegaConf.to_container(cfg.hardware, resolve=True)  # type: ignore[assignment]
    for own in ("tf32", "cuda_graph", "compile"):
        hardware.pop(own)
    plugins: list[Any] = [AtomicCheckpointIO(folder)]
    if SLURMEnvironment.detect():
        # Lightning's automatic requeue would resume from any checkpoint in the run folder.
        plugins.append(SLURMEnvironment(auto_requeue=False))
    options = trainer_options(cfg, folder)
    if epochs is not None:
        options["limit_val_batches"] = 0
    elif not build_loss(cfg).predicts_ratings:
        # Ranking metrics do not use the validation batches; one batch keeps Lightning's validation hooks running.
        options["limit_val_batches"] = 1
    return pl.Trainer(
        **hardware,
        **options,
        max_epochs=cfg.max_epochs if epochs is None else epochs,
        gradient_clip_val=cfg.gradient_clip or None,
        logger=list(loggers) or False,
        callbacks=list(callbacks),
        plugins=plugins,
        default_root_dir=folder,
        use_distributed_sampler=False,  # batches know their process already
    )


def _filter_warnings() -> None:
    """Hide warnings of libraries that a user of this project cannot act on."""
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",  # batches are slices of tensors
        ".*isinstance\\(treespec, LeafSpec\\).*",  # Lightning 2.6 on torch 2.13
        ".*smaller than the logging interval.*",
        ".*requested to overfit but enabled .* shuffling.*",  # the data module has turned it off
        ".*`training_step` returned `None`.*",  # a CUDA graph has done all work
        ".*To copy construct from a tensor.*",  # LearningRateMonitor reads the rate that a CUDA graph reads, a tensor
        ".*TensorFloat32 tensor cores .* available but not enabled.*",  # hardware.tf32
        ".*sync_dist=True.*",  # metrics are summed over all processes before they are logged
        ".*Checkpoint directory .* exists and is not empty.*",
        ".*dirpath has changed.*",  # a resumed run whose folder was moved; last.ckpt has no score that could be lost
    ):
        warnings.filterwarnings("ignore", message)
