"""Measure a finished run again, from its checkpoint and its own configuration: `recsys-evaluate`."""

import os
from typing import Any

from omegaconf import DictConfig, OmegaConf

from recsys.command import run_command
from recsys.errors import ConfigError, RunError
from recsys.output import check_format, print_rows
from recsys.runs import RESULT, find_run, read_json

PARTS = ("train", "val", "test")


def main() -> None:
    """`recsys-evaluate`."""
    run_command("evaluate", _task)


def evaluate(run: str = "latest", part: str = "test", checkpoint: str = "best") -> list[dict[str, Any]]:
    """Metrics of a run's network and of the baselines on the same pairs.

    Args:
        run: a run folder, or "latest".
        part: "train", "val" or "test" of the run's own split.
        checkpoint: "best" or "last".

    Returns:
        One row per model: {"model": name, "<part>/rmse": ..., "<part>/mae": ...}; the run's own row is last.

    Raises:
        UserError: there is no such run, or its data are not what it was trained on.
    """
    if part not in PARTS:
        raise ConfigError(f"part={part}: choose {', '.join(PARTS)}")
    if checkpoint not in ("best", "last"):
        raise ConfigError(f"checkpoint={checkpoint}: choose best or last")
    from recsys.checkpoint import load_checkpoint
    from recsys.evaluation.baselines import baseline_metrics
    from recsys.evaluation.rating_metrics import measure
    from recsys.report import kebab
    from recsys.training.build import build_data

    folder = find_run(run)
    trained = load_checkpoint(folder / "checkpoints" / f"{checkpoint}.ckpt")
    cfg = OmegaConf.create(trained.config)
    if (mirror := os.environ.get("RECSYS_MIRROR")) and "mirror" in cfg.data:
        cfg.data.mirror = mirror  # the one of then may be gone, or of another machine
    data = build_data(cfg)
    data.setup()
    assert data.dataset is not None
    was = read_json(folder / RESULT)["data"]
    if data.dataset.sha256 != was["sha256"] or not was["split"].endswith(data.split.fingerprint):
        raise RunError(
            f"run={run}: {cfg.data.name} or its split is no longer what the run was trained on; "
            f"now {len(data.dataset)} ratings, then {was['ratings']}"
        )
    baselines = baseline_metrics(data.dataset, data.split, part)
    own = measure(trained.network, data.whole(part)).metrics(part)
    rows = {**baselines, kebab(cfg.model._target_): own}
    return [{"model": name, **metrics} for name, metrics in rows.items()]


def _task(cfg: DictConfig) -> None:
    check_format(cfg.format)
    folder = find_run(str(cfg.run))  # Hydra reads a folder called 0 as a number
    # "latest" may be another run by the time this one is measured.
    rows = evaluate(str(folder.absolute()), cfg.part, cfg.checkpoint)
    print_rows(rows, cfg.format, f"{folder}, {cfg.checkpoint} weights")


if __name__ == "__main__":
    main()
