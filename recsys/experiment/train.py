"""Train a network: validate, load, fit, test the best weights once, write result.json.

`train(cfg)` is the plain function; `main` is its Hydra skin, `recsys-train`.
"""

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from recsys.atomic import NO_ROOM
from recsys.errors import RunError
from recsys.runs.folder import (
    RESULT,
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
    from recsys.experiment.fit import fit

    cfg = DictConfig(OmegaConf.to_container(cfg, resolve=True))
    resume, home = bool(cfg.resume), Path(cfg.run) if cfg.resume else folder
    for key in OWN:
        del cfg[key]
    if path := cfg.data.get("path"):
        cfg.data.path = str(Path(path).expanduser().absolute())
    if resume:
        clear_away(home)
    result = fit(cfg, home if resume else folder, overrides, more, resume, start)
    if result:
        write_json(folder / RESULT, result)
    return result
