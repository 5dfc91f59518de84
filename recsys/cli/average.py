"""Average finished runs of one split: the command `recsys-average`."""

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, ListConfig

from recsys.cli.app import run_command
from recsys.cli.compare import find_sweep
from recsys.errors import ConfigError, UserError
from recsys.experiment.average import average
from recsys.leaderboard.table import read_runs
from recsys.runs.folder import forget_claimed, only_run_in


def main() -> None:
    """`recsys-average`."""
    run_command("average", _task)


def members_in(sweep: Path) -> list[Path]:
    """The finished runs under a folder, without those that are averages of others."""
    runs = read_runs(sweep)
    return [sweep / run.name for run in runs if run.completed and not run.is_average]


def _task(cfg: DictConfig) -> None:
    hydra = HydraConfig.get()
    folder, overrides = Path(hydra.runtime.output_dir), list(hydra.overrides.task)
    try:
        if cfg.runs is None:
            sweep = find_sweep(str(cfg.dir))
            runs = members_in(sweep)
            if cfg.dir == "latest":  # another one, by the time that somebody repeats the command
                overrides = [*(word for word in overrides if not word.startswith("dir=")), f"dir={sweep}"]
        elif not isinstance(cfg.runs, ListConfig):
            raise ConfigError(f"runs={cfg.runs}: a list of folders expected, 'runs=[outputs/runs/a,...]'")
        elif cfg.dir != "latest":
            raise ConfigError(f"dir={cfg.dir} and runs={cfg.runs}: one of them")
        else:
            runs = [Path(str(run)) for run in cfg.runs]
        with only_run_in(folder):
            result = average(runs, folder, overrides)
    except UserError:  # nothing has been written
        forget_claimed()
        raise
    from recsys.evaluation.summary import print_summary

    print_summary(result, folder)


if __name__ == "__main__":
    main()
