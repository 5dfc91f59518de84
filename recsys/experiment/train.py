"""Train a network: validate, load, fit, test the best weights once, write result.json.

`train(cfg)` is the plain function; `main` is its Hydra skin, `recsys-train`.
"""

import logging
import signal
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from recsys.atomic import NO_ROOM
from recsys.errors import RunError
from recsys.leaderboard.names import job_name, swept_keys
from recsys.runs.folder import (
    RESULT,
    checkpoint_in,
    new_folder,
    only_run_in,
    resume_command,
    write_json,
)
from recsys.runs.resume import OWN, check_unchanged, clear_away
from recsys.training.memory import explain_out_of_memory

log = logging.getLogger(__name__)


def train(
    cfg: DictConfig,
    folder: Path | None = None,
    overrides: list[str] | None = None,
    callbacks: Sequence[Any] = (),
) -> dict[str, Any]:
    """Train as configured, and leave a complete run in `folder`.

    Args:
        cfg: conf/train.yaml, composed.
        folder: where checkpoints, events and result.json go; None: a new one under ./outputs/runs.
        overrides: what the user typed, for the record.
        callbacks: further callbacks of the trainer.

    Returns:
        The content of result.json; in the helper processes of a DDP run, nothing.

    Raises:
        UserError: the configuration or the data cannot work, or the loss was not finite.
    """
    # torch and Lightning take seconds to import: who asks for help, or mistypes, should not wait for them.
    from recsys.config.validate import validate

    start = time.perf_counter()
    validate(cfg)
    if cfg.resume:
        check_unchanged(cfg)

    folder = folder or Path(cfg.run if cfg.resume else new_folder("runs"))
    with only_run_in(folder), explain_out_of_memory(cfg.batch_size):
        try:
            return _train(cfg, folder, overrides or [], callbacks, start)
        except OSError as problem:
            if problem.errno not in NO_ROOM:
                raise
            raise RunError(
                f"{folder}: cannot be written ({problem.strerror}); what was saved before is whole: "
                f"once there is room, {resume_command(folder)} goes on"
            ) from problem


def _train(
    cfg: DictConfig, folder: Path, overrides: list[str], more: Sequence[Any], start: float
) -> dict[str, Any]:
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

    config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    for key in OWN:
        del config[key]
    if path := config["data"].get("path"):  # as saved, it can be found from any folder
        config["data"]["path"] = str(Path(path).expanduser().absolute())
    data = build_data(cfg)
    data.setup()
    assert data.dataset is not None
    home = Path(cfg.run) if cfg.resume else folder  # of a further process, `folder` is another
    last = checkpoint_in(home, "last")
    before = load_checkpoint(last) if cfg.resume and last.is_file() else None
    if before is not None and before.data != (data.dataset.sha256, data.split.fingerprint):
        raise RunError(
            f"run={cfg.run}: the data or their split are not what it began with, or another version drew it; "
            "start it anew"
        )
    tasks = ranking_tasks(data.dataset, data.split, config)
    module = build_module(cfg, config, data, tasks["val"])
    objective, swept = objective_of(config), swept_keys(folder)
    throughput = Throughput(start)
    callbacks = [*more, throughput]
    step = before.step if before is not None else None
    trainer = build_trainer(cfg, folder, *callbacks, name=job_name(swept, overrides), step=step)
    if cfg.resume:
        clear_away(home)
    if before is not None:
        log.info("goes on after step %d, in epoch %d", before.step, before.epoch + 1)
    elif not swept:  # jobs of a sweep would all draw the same
        show_figure(trainer, "data/cross-table", partial(plot_cross_table, data.dataset))
    try:
        trainer.fit(module, data, ckpt_path=None if before is None else last, weights_only=True)
    except SIGTERMException:  # of several processes
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
        "overrides": overrides,
        **outcome,
        "time": {
            "epochs": trainer.current_epoch,
            "seconds": round(throughput.elapsed, 3),
            "train_ratings_per_second": round(throughput.ratings_per_second, 1),
        },
    }
    write_json(folder / RESULT, result)
    return result
