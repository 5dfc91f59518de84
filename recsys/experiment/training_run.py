"""One training of a run: build module and trainer, start or resume, return what has been trained."""

import logging
import signal
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.utilities.exceptions import MisconfigurationException, SIGTERMException

from recsys.analysis.figures.cross_table import plot_cross_table
from recsys.data.datamodule import MovieLensDataModule
from recsys.data.fingerprint import fingerprint
from recsys.errors import ConfigError, RunError, TrainingError, UserError, first_line
from recsys.runs.checkpoint import LoadedCheckpoint, load_checkpoint, read_checkpoint
from recsys.runs.folder import checkpoint_in
from recsys.runs.network import class_path
from recsys.runs.torch_file import unreadable
from recsys.runs.trust import Trust
from recsys.training.build import build_callbacks, build_module, build_trainer
from recsys.training.callbacks.signals import StopOnSignal, stopped
from recsys.training.callbacks.throughput import Throughput
from recsys.training.module import RatingModule
from recsys.training.precision import tf32
from recsys.training.trackers.group import Trackers
from recsys.training.trainer_options import PROFILE
from recsys.training.training_state import batches_per_epoch, check_training_state

log = logging.getLogger(__name__)


class Trained(NamedTuple):
    """A training that is complete.

    Attributes:
        best: the selected weights, with their scorer on the device of training.
        trainer: the trainer.
        throughput: its speed and time.
    """

    best: LoadedCheckpoint
    trainer: pl.Trainer
    throughput: Throughput


def train_network(
    cfg: DictConfig,
    folder: Path,
    data: MovieLensDataModule,
    trackers: Trackers,
    callbacks: Sequence[Callback],
    last: Path | None,
    start: float,
    epochs: int | None = None,
    prepare: Callable[[RatingModule], None] | None = None,
) -> Trained | None:
    """Train a network, and write checkpoints and curves.

    Args:
        cfg: the validated configuration.
        folder: the run folder.
        data: the data module, after `setup`.
        trackers: where curves and figures are recorded.
        callbacks: further callbacks.
        last: the checkpoint to resume from, if it exists; None: start from the beginning.
        start: when the training began, as of `time.perf_counter`.
        epochs: train for this many epochs without validation, and keep the last weights; None: up to cfg.max_epochs,
            and keep the weights that the validation set selects.
        prepare: called with the module before training starts.

    Returns:
        What was trained; None in further processes of a distributed run, and with trainer.fast_dev_run.

    Raises:
        UserError: the data does not fit the configuration, or training failed.
    """
    own_class = {class_path(get_class(cfg.model._target_))}  # the user has named it, so it is trusted
    content, resumed = None, None
    if last is not None and last.is_file():
        content, resumed = _load_last(last, data, cfg, own_class)
    elif last is not None and checkpoint_in(folder).exists():
        log.warning("%s: no such file, so the run starts again from its beginning", last)
    module = build_module(cfg, data)
    if prepare is not None:
        prepare(module)
    throughput = Throughput(start)
    # StopOnSignal is last: when it saves the state of a run, the other callbacks have handled the step.
    every = [*build_callbacks(cfg, folder, data, module, epochs), *callbacks, throughput]
    trainer = build_trainer(
        cfg,
        folder,
        [*every, StopOnSignal(folder)],
        trackers.loggers(
            folder, None if resumed is None else resumed.step, "" if epochs is None else "refit/"
        ),
        epochs,
    )
    data.selected = module.loss.selected  # as `RatingModule.setup` does when training starts
    batches = -(-len(data.train_rows()) // (data.batch_size * trainer.world_size))
    batches = batches_per_epoch(trainer, batches)
    if epochs is None:
        _check_validations(trainer, batches)
    if content is not None and last is not None:
        _check_state(last, content, module, trainer, batches)
    if resumed is not None:
        log.info("resuming after step %d, in epoch %d", resumed.step, resumed.epoch + 1)
    elif not trackers.run.swept:  # the jobs of a sweep would all log the same figure
        trackers.log_figure("data/cross-table", partial(plot_cross_table, data.dataset))
    on_interrupt = signal.getsignal(signal.SIGINT)
    try:
        with tf32(cfg.hardware.tf32):
            trainer.fit(module, data, ckpt_path=None if resumed is None else last, weights_only=True)
    except SIGTERMException:  # raised by Lightning before the first step
        raise stopped(signal.SIGTERM, None, folder) from None
    except (MisconfigurationException, ModuleNotFoundError) as error:
        if module.has_started:
            raise
        if resumed is not None and last is not None:
            raise unreadable(last, error) from error
        # For example, a share of the batches is less than one, or a callback needs a logger.
        raise ConfigError(f"trainer or callbacks: {first_line(error)}") from None
    except Exception as error:
        if resumed is None or last is None or module.has_started or isinstance(error, UserError | OSError):
            raise
        raise unreadable(last, error) from error  # while the state was restored
    except SystemExit:  # raised by Lightning on Ctrl-C, which it then ignores for good
        if signal.getsignal(signal.SIGINT) is not on_interrupt:
            signal.signal(signal.SIGINT, on_interrupt)
        raise KeyboardInterrupt from None
    if cfg.trainer.profiler is not None:
        for file in sorted(folder.glob(f"*{PROFILE}*")):
            log.info("profile: %s", file)
    if trainer.fast_dev_run or not trainer.is_global_zero:  # type: ignore[attr-defined]
        return None
    if not checkpoint_in(folder).is_file():
        raise TrainingError(
            f"training ended in epoch {trainer.current_epoch}, before the first cycle of the schedule, so no weights "
            "were selected; train longer, or use schedule.cycle_epochs=1 or schedule=constant"
        )
    best = load_checkpoint(checkpoint_in(folder), own_class)
    best.scorer.to(trainer.strategy.root_device)
    return Trained(best, trainer, throughput)


def _load_last(
    path: Path, data: MovieLensDataModule, cfg: DictConfig, trust: Trust
) -> tuple[dict[str, Any], LoadedCheckpoint]:
    """Load the checkpoint to resume from, and check that its data and its configuration are those of the run.

    Raises:
        RunError: the checkpoint cannot be read, belongs to another configuration, or the ratings or their split have
            changed.
    """
    content, checkpoint = read_checkpoint(path, trust)
    config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    arguments = content["network"]["arguments"]
    options = {key: value for key, value in config["model"].items() if key != "_target_"}
    if checkpoint.config != config or any(arguments.get(key) != value for key, value in options.items()):
        raise RunError(
            f"{path}: belongs to another configuration than that of the run folder; start a new run"
        )
    if checkpoint.data != (fingerprint(data.dataset), data.fingerprint):
        raise RunError(
            f"{path}: since the run was started, the ratings have changed, or their split, or ids or features in the "
            "tables of items and users, or another version of recsys drew the split; start a new run"
        )
    return content, checkpoint


def _check_validations(trainer: pl.Trainer, batches: int) -> None:
    """Check that each epoch of so many batches ends with a validation.

    Raises:
        ConfigError: trainer.val_check_interval does not divide an epoch.
    """
    share = trainer.val_check_interval
    interval = share if isinstance(share, int) else max(1, int(batches * share))
    if batches % interval:
        raise ConfigError(
            f"trainer.val_check_interval={share}: validates after {interval} batches, and an epoch has {batches}, but "
            "weights are compared at the end of an epoch; use a number of batches that divides it, or 1.0"
        )


def _check_state(
    path: Path, content: dict[str, Any], module: RatingModule, trainer: pl.Trainer, batches: int
) -> None:
    try:
        check_training_state(content, module, trainer, batches)
    except Exception as error:  # a file that was tampered with causes many kinds of errors
        raise unreadable(path, error) from None
