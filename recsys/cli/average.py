"""Average finished runs of one split: the command `recsys-average`."""

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, ListConfig

from recsys.cli.app import run_command
from recsys.cli.compare import find_sweep
from recsys.cli.values import require_booleans, require_groups
from recsys.config.hardware import device_for
from recsys.errors import ConfigError
from recsys.experiment.average import average, members_in
from recsys.runs.record import without_start_keys


def main() -> None:
    """Run `recsys-average`."""
    run_command("average", _task, first_key="dir")


def _task(cfg: DictConfig) -> None:
    require_booleans(cfg, "trust")
    require_groups(cfg, "hardware")
    overrides = without_start_keys(HydraConfig.get().overrides.task)
    if cfg.runs is None:
        sweep = find_sweep(str(cfg.dir))
        runs = members_in(sweep)
        if cfg.dir == "latest":  # record the folder: "latest" is another sweep when the command is repeated
            overrides = [*(word for word in overrides if not word.startswith("dir=")), f"dir={sweep}"]
    elif not isinstance(cfg.runs, ListConfig):
        raise ConfigError(
            f"runs={cfg.runs}: must be a list of folders, 'runs=[outputs/runs/a,outputs/runs/b]'"
        )
    elif cfg.dir != "latest":
        raise ConfigError(f"dir={cfg.dir} and runs={cfg.runs}: give only one of them")
    else:
        runs = [Path(str(run)) for run in cfg.runs]
    folder = None if cfg.output_dir is None else str(cfg.output_dir)
    run = average(runs, folder, overrides, cfg.trust is True, device_for(cfg.hardware))
    from recsys.evaluation.summary import print_summary

    print_summary(run.result, run.folder)


if __name__ == "__main__":
    main()
