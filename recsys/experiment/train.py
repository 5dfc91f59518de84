"""Train a network: validate, load the data, fit, test the best weights once, write result.json."""

import logging
import signal
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from recsys.atomic import NO_ROOM
from recsys.errors import ConfigError, RunError
from recsys.leaderboard.names import job_name, swept_keys
from recsys.runs.folder import RESULT, Run, checkpoint_in, resume_command, write_json
from recsys.runs.record import START_NODES, resolve_config
from recsys.runs.start import open_run
from recsys.training.memory import explain_out_of_memory

log = logging.getLogger(__name__)


def train(
    cfg: DictConfig,
    folder: str | Path | None = None,
    overrides: Sequence[str] | None = None,
    callbacks: Sequence[Any] = (),
    resume: bool = False,
) -> Run:
    """Train as configured, and write a complete run folder.

    Args:
        cfg: the composed configuration, for example `recsys.compose("model=bias")`.
        folder: the run folder; None: cfg.output_dir, or else a new one under ./outputs/runs.
        overrides: what the user typed, for the record.
        callbacks: additional callbacks of the trainer.
        resume: continue the run in `folder`, whose configuration must equal `cfg`; begin if there is none.

    Returns:
        The run. In the processes of a distributed run other than the first, its result is empty.

    Raises:
        UserError: the configuration or the data is invalid, or the loss is not finite.
    """
    # Imported here because torch and Lightning take seconds: --help and typing errors answer at once.
    from recsys.config.validate import validate

    start = time.perf_counter()
    validate(cfg)
    if cfg.resume:
        raise ConfigError(
            "resume=true: only recsys-train reads this key; in Python, call train(cfg, folder, resume=True)"
        )
    folder = folder if folder is not None else cfg.output_dir
    if resume and folder is None:
        raise ConfigError("train(resume=True): needs folder or cfg.output_dir")
    chosen = None if folder is None else Path(str(folder)).expanduser().absolute()
    config = resolve_config(cfg)
    with open_run(chosen, config, overrides or [], resume) as opened, explain_out_of_memory(cfg.batch_size):
        home = chosen if resume and chosen is not None else opened  # where the checkpoints to resume are
        try:
            result = _train(config, opened, home, overrides or [], callbacks, start, resume)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            raise RunError(
                f"{opened}: cannot be written ({error.strerror}); saved checkpoints are intact: "
                f"free some space, then {resume_command(opened)}"
            ) from error
        return Run(opened, result.get("metrics", {}), result)


def _train(
    config: dict[str, Any],
    folder: Path,
    home: Path,
    overrides: Sequence[str],
    callbacks: Sequence[Any],
    start: float,
    resume: bool,
) -> dict[str, Any]:
    """Train in `folder`, from the checkpoint in `home` if there is one to resume; return result.json."""
    from pytorch_lightning.utilities.exceptions import SIGTERMException

    from recsys.analysis.figures.cross_table import plot_cross_table
    from recsys.evaluation.objective import objective_of
    from recsys.evaluation.ranking_metrics import ranking_tasks
    from recsys.evaluation.summary import describe_outcome
    from recsys.runs.checkpoint import load_checkpoint
    from recsys.training.build import build_data, build_module, build_trainer
    from recsys.training.callbacks.signals import stopped
    from recsys.training.callbacks.tensorboard import show_figure, show_hparams
    from recsys.training.callbacks.throughput import Throughput

    cfg = OmegaConf.create(config)
    config = {key: value for key, value in config.items() if key not in START_NODES}
    data = build_data(cfg)
    data.setup()
    assert data.dataset is not None
    last = checkpoint_in(home, "last")
    before = load_checkpoint(last) if resume and last.is_file() else None
    if before is not None and before.data != (data.dataset.sha256, data.split.fingerprint):
        raise RunError(
            f"run={home}: cannot be resumed, because the data or its split has changed since the run started "
            "(or another version of recsys draws the split differently); start a new run"
        )
    tasks = ranking_tasks(data.dataset, data.split, config)
    module = build_module(cfg, config, data, tasks["val"])
    objective, swept = objective_of(config), swept_keys(folder)
    throughput = Throughput(start)
    step = before.step if before is not None else None
    trainer = build_trainer(cfg, folder, *callbacks, throughput, name=job_name(swept, overrides), step=step)
    if before is not None:
        log.info("resuming after step %d, in epoch %d", before.step, before.epoch + 1)
    elif not swept:  # every job of a sweep would draw the same figure
        show_figure(trainer, "data/cross-table", partial(plot_cross_table, data.dataset))
    try:
        trainer.fit(module, data, ckpt_path=None if before is None else last, weights_only=True)
    except SIGTERMException:  # raised by Lightning in a run of several processes
        raise stopped(signal.SIGTERM, trainer.global_step, home) from None
    except SystemExit:  # Lightning's answer to Ctrl-C
        raise KeyboardInterrupt from None
    if not trainer.is_global_zero:
        return {}

    best = load_checkpoint(checkpoint_in(home))
    best.network.to(trainer.strategy.root_device)
    outcome = describe_outcome(best, data.dataset, data.split, data.whole, tasks)
    metrics = outcome["metrics"]
    shown = {name: metrics[name] for name in ("val/rmse", "val/mae", objective.name) if name in metrics}
    show_hparams(trainer, config, shown, swept)
    result = {
        "status": "completed",
        "seed": cfg.seed,
        "overrides": list(overrides),
        **outcome,
        "time": {
            "epochs": trainer.current_epoch,
            "seconds": round(throughput.elapsed, 3),
            "train_ratings_per_second": round(throughput.ratings_per_second, 1),
        },
    }
    write_json(folder / RESULT, result)
    return result
