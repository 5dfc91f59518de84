"""Train a network: validate the configuration, open the run folder, fit, write result.json."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from omegaconf import DictConfig

from recsys.errors import ConfigError
from recsys.paths import expanded
from recsys.runs.folder import RESULT, Run, checkpoint_in, resume_command, write_json
from recsys.runs.record import resolve_config
from recsys.runs.start import open_run, write_errors
from recsys.runs.trust import names_other_code
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
        The run. In the processes of a distributed run other than the first, its result is empty. With
        trainer.fast_dev_run, its result is empty, too, and its folder is removed.

    Raises:
        UserError: the configuration or the data is invalid, or the loss is not finite.
    """
    # Imported here because torch and Lightning take seconds: --help and typing errors answer at once.
    from recsys.config.validate import validate
    from recsys.experiment.fit import fit
    from recsys.training.auto_loss import choose_loss

    start = time.perf_counter()
    cfg = choose_loss(cfg)
    validate(cfg)
    if cfg.resume:
        raise ConfigError(
            "resume=true: only recsys-train reads this key; in Python, call train(cfg, folder, resume=True)"
        )
    folder = folder if folder is not None else cfg.output_dir
    if resume and folder is None:
        raise ConfigError("train(resume=True): needs folder or cfg.output_dir")
    chosen = None if folder is None else expanded(folder).absolute()
    config = resolve_config(cfg)
    if cfg.trainer.fast_dev_run:
        if resume:
            raise ConfigError(
                f"trainer.fast_dev_run={cfg.trainer.fast_dev_run}: writes no checkpoint and no result, so it is not "
                "possible with resume=true and in a sweep; use trainer.fast_dev_run=false"
            )
        with TemporaryDirectory(prefix="recsys-") as scratch:
            fit(DictConfig(config), Path(scratch), overrides or [], callbacks, None, start)
        log.info("trainer.fast_dev_run: training and validation work; no run folder was written")
        return Run(Path(scratch), {}, {})
    with open_run(chosen, config, overrides or [], resume) as opened, explain_out_of_memory(cfg.batch_size):
        # Not `opened`, which in further processes of a distributed run is a scratch folder.
        last = checkpoint_in(chosen, "last") if resume and chosen is not None else None
        with write_errors(opened, resume_command(opened, names_other_code(config))):
            result = fit(DictConfig(config), opened, overrides or [], callbacks, last, start)
            if result:
                write_json(opened / RESULT, result)
        return Run(opened, result.get("metrics", {}), result)
