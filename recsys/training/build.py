"""From a configuration to the objects that train: data, module, trainer."""

import inspect
import logging
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.utils import get_class, get_method, instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import Callback, LearningRateMonitor, ModelCheckpoint
from pytorch_lightning.plugins.environments import SLURMEnvironment

from recsys.data.datamodule import MovieLensDataModule
from recsys.evaluation.objective import objective_of, ranks
from recsys.evaluation.ranking_metrics import RankingTask
from recsys.models.base import RatingNetwork
from recsys.models.features import item_features, user_features
from recsys.models.heads import levels_of
from recsys.runs.checkpoint import make_metadata
from recsys.runs.folder import CHECKPOINTS
from recsys.seeds import seed_for
from recsys.training.callbacks.cycle_end import CycleEndCheckpoint, CycleEndEarlyStopping
from recsys.training.callbacks.progress import EpochBar, EpochLog
from recsys.training.callbacks.signals import StopOnSignal
from recsys.training.callbacks.threads import Threads
from recsys.training.checkpoint_io import AtomicCheckpointIO
from recsys.training.memory import reuse_freed_memory
from recsys.training.module import RatingModule
from recsys.training.schedules import cycle_ends, in_cycles
from recsys.training.sparse_adam import use_sparse_gradients, is_sparse_adam


def build_data(cfg: DictConfig) -> MovieLensDataModule:
    """The data module of cfg.data and cfg.split; nothing is fetched yet."""
    source = instantiate(cfg.data, _convert_="all")
    split = instantiate(cfg.split, _partial_=True, _convert_="all")
    return MovieLensDataModule(source, split, cfg.batch_size, cfg.seed)


def build_module(
    cfg: DictConfig, config: dict[str, Any], data: MovieLensDataModule, val: RankingTask | None = None
) -> RatingModule:
    """The network of cfg.model in the sizes of the data, and what trains it.

    Args:
        cfg: the configuration.
        config: the same, resolved, as plain values: saved into checkpoints.
        data: set up.
        val: the validation part's ranking task; needed where the loss makes an order.
    """
    assert data.dataset is not None
    dataset = data.dataset
    choices, loss = _plain(cfg.model), _plain(cfg.loss)
    network_class = get_class(choices.pop("_target_"))
    taken = inspect.signature(network_class).parameters
    facts = {name: value() for name, value in _facts(data).items() if name in taken}
    torch.manual_seed(seed_for(cfg.seed, "init"))
    network: RatingNetwork = network_class(**facts, **choices)
    network.rates = not ranks(cfg)
    network.setup_from_data(dataset, data.split.train)
    if is_sparse_adam(cfg.optimizer._target_):
        use_sparse_gradients(network)
    if cfg.hardware.compile:
        _compile(network, cfg.hardware.accelerator)
    # Under mixed precision a fused optimizer unscales the gradients itself, and Lightning then clips none.
    clips_mixed = cfg.gradient_clip > 0 and cfg.hardware.precision != "32-true"
    change = {"fused": False} if clips_mixed and "fused" in cfg.optimizer else {}
    return RatingModule(
        network,
        instantiate(cfg.optimizer, _partial_=True, _convert_="all", **change),
        instantiate(cfg.schedule, _partial_=True, _convert_="all"),
        data.trained_users,
        data.trained_items,
        make_metadata(network, facts | choices, dataset, data.split.fingerprint, config),
        cfg.seed,
        partial(get_method(loss.pop("_target_")), **loss),  # instantiate's would check its target every step
        val if ranks(cfg) else None,
        dict(cfg.l2),
        cfg.snapshots,
        cycle_ends(_plain(cfg.schedule), cfg.max_epochs),
    )


def _facts(data: MovieLensDataModule) -> dict[str, Callable[[], Any]]:
    """What a network may ask of the data by the names of its arguments; saved with it, as plain values."""
    dataset = data.dataset
    assert dataset is not None
    return {
        "n_users": lambda: len(dataset.user_ids),
        "n_items": lambda: len(dataset.item_ids),
        "scale": lambda: list(dataset.scale),
        "mean": lambda: data.mean,
        "levels": lambda: levels_of(dataset.ratings[data.split.train]),
        "n_item_features": lambda: item_features(dataset.item_table).shape[1],
        "n_user_features": lambda: user_features(dataset.user_table).shape[1],
    }


def build_trainer(
    cfg: DictConfig, folder: Path, *more: Callback, name: str = "", step: int | None = None
) -> pl.Trainer:
    """A trainer that stops early, keeps the best and the last weights, and logs as configured.

    Args:
        cfg: the configuration.
        folder: of the run.
        more: further callbacks.
        name: of the run among those of a sweep: a folder for its events, since TensorBoard calls a run by its
            folder; "": the run's own.
        step: at which an earlier start of the run is taken up; what it has logged after that will come again.
    """
    _quieten_lightning()
    reuse_freed_memory()
    logger = _logger(cfg, folder / name, step) if cfg.logger else False
    keep, on_terminal = folder / CHECKPOINTS, sys.stdout.isatty()
    objective = objective_of(cfg)
    judged: dict[str, Any] = {"monitor": objective.name, "mode": objective.mode}
    judged["ends"] = cycle_ends(_plain(cfg.schedule), cfg.max_epochs)
    callbacks: list[Callback] = [
        CycleEndCheckpoint(dirpath=keep, filename="best", enable_version_counter=False, **judged),
        ModelCheckpoint(keep, "last", enable_version_counter=False),
        # A metric that is not finite raises in the module; EarlyStopping would end the run as if done.
        CycleEndEarlyStopping(
            patience=in_cycles(cfg.patience, _plain(cfg.schedule)), check_finite=False, **judged
        ),
        EpochBar(refresh_rate=20) if on_terminal else EpochLog(),
        *more,
        Threads(cfg.batch_size),
        StopOnSignal(folder),  # after whatever else a step's end brings
    ]
    if cfg.averaging:
        callbacks.insert(0, instantiate(cfg.averaging))  # before whatever reads or saves the weights
    if logger:
        callbacks.append(LearningRateMonitor("step"))
    hardware = _plain(cfg.hardware)
    hardware.pop("compile")
    plugins: list[Any] = [AtomicCheckpointIO()]
    if SLURMEnvironment.detect():  # Lightning's own requeue saves beside the run, and takes up any other's
        plugins.append(SLURMEnvironment(auto_requeue=False))
    return pl.Trainer(
        **hardware,
        max_epochs=cfg.max_epochs,
        gradient_clip_val=cfg.gradient_clip or None,
        logger=logger,
        callbacks=callbacks,
        plugins=plugins,
        default_root_dir=folder,
        enable_progress_bar=on_terminal,
        log_every_n_steps=10,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,  # batches know their process already
        enable_model_summary=False,
    )


def _plain(group: DictConfig) -> dict[str, Any]:
    return OmegaConf.to_container(group, resolve=True)  # type: ignore[return-value]


def _logger(cfg: DictConfig, folder: Path, step: int | None) -> Any:
    """The logger; what an earlier start of the run has logged stays, up to the step where this one begins."""
    change: dict[str, Any] = {}
    if step is not None and cfg.logger._target_.endswith("TensorBoardLogger"):
        change["purge_step"] = step
    if step is not None and (metrics := folder / "metrics.csv").is_file():  # Lightning would remove it
        number = 1 + len(list(folder.glob("metrics-*.csv")))
        metrics.replace(folder / f"metrics-{number}.csv")
    return instantiate(cfg.logger, save_dir=str(folder), **change)


def _compile(network: RatingNetwork, accelerator: str) -> None:
    """Compile `forward` in place; names of weights, and so checkpoints, stay as they are.

    On a CUDA GPU as CUDA graphs: a step of these small networks is dozens of kernels of a few microseconds,
    and launching them one by one takes longer than they do. A graph has one shape: full batches and the last
    one of an epoch, in training and in validation, are four.
    """
    on_gpu = accelerator != "cpu" and torch.cuda.is_available()
    network.compile(mode="reduce-overhead" if on_gpu else None, dynamic=False)


def _quieten_lightning() -> None:
    """Leave out what says nothing to a user of this project."""
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",  # batches are slices of tensors
        ".*isinstance\\(treespec, LeafSpec\\).*",  # Lightning 2.6 on torch 2.13
        ".*smaller than the logging interval.*",
        ".*sync_dist=True.*",  # metrics are summed over all processes before they are logged
        ".*Checkpoint directory .* exists and is not empty.*",
        ".*Experiment logs directory .* exists and is not empty.*",  # the run's log and configuration
    ):
        warnings.filterwarnings("ignore", message)
