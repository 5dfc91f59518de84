"""Measure a finished run again, from its checkpoint and its own configuration: `recsys-evaluate`."""

from omegaconf import DictConfig

from recsys.cli.app import run_command
from recsys.experiment.evaluate import evaluate
from recsys.runs.folder import find_run
from recsys.tables import check_format, print_rows


def main() -> None:
    """`recsys-evaluate`."""
    run_command("evaluate", _task)


def _task(cfg: DictConfig) -> None:
    check_format(cfg.format)
    folder = find_run(str(cfg.run))  # Hydra reads a folder called 0 as a number
    # "latest" may be another run by the time this one is measured.
    ranking = cfg.ranking
    rows = evaluate(str(folder.absolute()), cfg.part, cfg.checkpoint, ranking.k, ranking.threshold)
    if cfg.format == "table":  # the part stands in its title: nine columns are wide enough
        rows = [{key.removeprefix(f"{cfg.part}/"): value for key, value in row.items()} for row in rows]
    print_rows(rows, cfg.format, f"{folder}, {cfg.checkpoint} weights, {cfg.part} part")


if __name__ == "__main__":
    main()
