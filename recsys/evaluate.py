"""Measure a finished run again, from its checkpoint and its own configuration: `recsys-evaluate`."""

from typing import Any

from omegaconf import DictConfig

from recsys.command import run_command
from recsys.errors import ConfigError
from recsys.output import check_format, print_rows
from recsys.reopen import reopen
from recsys.runs import find_run

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
    opened = reopen(run, checkpoint)
    from recsys.evaluation.baselines import baseline_metrics
    from recsys.evaluation.rating_metrics import measure

    baselines = baseline_metrics(opened.dataset, opened.split, part)
    own = measure(opened.trained.network, opened.batches(part)).metrics(part)
    rows = {**baselines, opened.result["model"]["name"]: own}
    return [{"model": name, **metrics} for name, metrics in rows.items()]


def _task(cfg: DictConfig) -> None:
    check_format(cfg.format)
    folder = find_run(str(cfg.run))  # Hydra reads a folder called 0 as a number
    # "latest" may be another run by the time this one is measured.
    rows = evaluate(str(folder.absolute()), cfg.part, cfg.checkpoint)
    print_rows(rows, cfg.format, f"{folder}, {cfg.checkpoint} weights")


if __name__ == "__main__":
    main()
