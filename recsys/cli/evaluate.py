"""`recsys-evaluate`: measure a finished run again, from its checkpoint and its own configuration."""

from omegaconf import DictConfig

from recsys.cli.app import run_command
from recsys.cli.values import require_booleans, require_groups
from recsys.config.hardware import device_for
from recsys.experiment.evaluate import evaluate
from recsys.runs.folder import find_run
from recsys.tables import check_format, print_rows


def main() -> None:
    """Run `recsys-evaluate`."""
    run_command("evaluate", _task, first_key="run")


def _task(cfg: DictConfig) -> None:
    check_format(cfg.format)
    require_booleans(cfg, "trust")
    require_groups(cfg, "ranking", "hardware")
    folder = find_run(str(cfg.run))  # Hydra parses a folder named 0 as a number
    # "latest" is resolved once: a run that finishes now must not be measured under the title of this one.
    ranking = cfg.ranking
    rows = evaluate(
        str(folder.absolute()),
        cfg.part,
        cfg.checkpoint,
        ranking.k,
        ranking.threshold,
        cfg.trust is True,
        device_for(cfg.hardware),
    )
    if cfg.format == "table":  # the title names the subset, which keeps the columns narrow
        rows = [{key.removeprefix(f"{cfg.part}/"): value for key, value in row.items()} for row in rows]
    print_rows(rows, cfg.format, f"{folder}: {cfg.checkpoint} checkpoint, {cfg.part} set")


if __name__ == "__main__":
    main()
