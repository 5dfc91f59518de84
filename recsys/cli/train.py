"""Train a network, or resume a run: the command `recsys-train`."""

from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from recsys.cli.app import run_command
from recsys.cli.values import require_booleans, require_groups
from recsys.errors import ConfigError
from recsys.experiment.train import train
from recsys.paths import expanded
from recsys.runs.folder import RESULT, state_to_resume
from recsys.runs.processes import end_with_first_process
from recsys.runs.record import recorded_config, recorded_overrides, without_start_keys
from recsys.runs.resume import can_resume, check_overrides, find_run_to_resume
from recsys.runs.trust import check_trusted, targets
from recsys.sweeps.job import end_with_parent
from recsys.terminal import print_line


def main() -> None:
    """Run `recsys-train`."""
    run_command("train", _task)


def _task(cfg: DictConfig) -> float | None:
    """Train one run, and return its objective as a value to minimise, for a sweeper."""
    end_with_parent()
    end_with_first_process()
    require_booleans(cfg, "resume", "trust")
    require_groups(cfg, "sweep", "hardware")
    hydra = HydraConfig.get()
    in_process = hydra.mode is RunMode.MULTIRUN  # a sweep whose launcher runs the jobs in this process
    _check_sweep(cfg, in_process)
    overrides = without_start_keys(hydra.overrides.task)
    folder = None if cfg.output_dir is None else expanded(cfg.output_dir).absolute()
    if in_process:
        folder = Path(hydra.runtime.output_dir)
    resume, trust = bool(cfg.resume), cfg.trust is True
    if resume:
        folder, is_finished = _folder_to_resume(cfg, folder)
        if is_finished:  # not an error: a scheduler may start the command once more
            print_line(f"output_dir={cfg.output_dir}: this run has already finished", is_error=True)
            return None
        cfg, overrides = _resumed(cfg, folder, overrides)
    run = train(cfg, folder, overrides, pruning_callbacks(cfg, folder, trust or not resume), resume)
    if not run.result:
        return None
    from recsys.evaluation.objective import to_minimise
    from recsys.evaluation.summary import print_summary
    from recsys.training.trackers.nodes import watch_commands

    print_summary(run.result, run.folder, watch_commands(cfg, run.folder))
    return to_minimise(run.result["objective"])


def _check_sweep(cfg: DictConfig, in_process: bool) -> None:
    """Refuse keys that need a sweep, or another launcher."""
    if cfg.sweep.average and not in_process:
        raise ConfigError(
            "sweep.average=true: averages the runs of a sweep; add -m and values, such as seed=1,2"
        )
    if cfg.sweep.average:
        raise ConfigError(
            "sweep.average=true: hydra/launcher=basic does not average; choose another launcher, or call "
            "recsys-average after the sweep"
        )
    if cfg.sweep.resume is not None:
        if not in_process:
            raise ConfigError(
                f"sweep.resume={cfg.sweep.resume}: resumes a sweep; repeat its command, with -m"
            )
        raise ConfigError(
            f"sweep.resume={cfg.sweep.resume}: hydra/launcher=basic cannot resume a sweep; "
            "choose another launcher (recsys-train --help lists them)"
        )
    if in_process and cfg.resume:
        raise ConfigError("resume=true with -m: to resume a sweep, use sweep.resume=<its folder>")
    if in_process and cfg.hardware.strategy == "ddp":
        raise ConfigError(
            "hardware.strategy=ddp in a sweep with hydra/launcher=basic: every process would run the whole "
            "sweep; choose hardware=auto or hydra/launcher=pool"
        )


def _folder_to_resume(cfg: DictConfig, folder: Path | None) -> tuple[Path, bool]:
    """Return the folder of `run=` or `output_dir=`, and whether the run in it has finished."""
    if cfg.run is not None and folder is not None:
        raise ConfigError(
            f"run={cfg.run} and output_dir={cfg.output_dir}: give only one of them with resume=true"
        )
    if cfg.run is not None:
        return find_run_to_resume(str(cfg.run)), False
    if folder is None:
        raise ConfigError("resume=true: of which run? Add run=<folder>, run=latest or output_dir=<folder>")
    return folder, (folder / RESULT).is_file()


def _resumed(cfg: DictConfig, folder: Path, overrides: list[str]) -> tuple[DictConfig, list[str]]:
    """Return the recorded configuration and overrides of the run in a folder; those given if it has none."""
    if can_resume(folder):
        if (last := state_to_resume(folder)) is not None:
            from recsys.runs.checkpoint import check_format

            check_format(last)  # first: a configuration of another version cannot be compared
        recorded = recorded_config(folder)
        typed = targets(OmegaConf.to_container(cfg, resolve=True))  # what the user names now is trusted
        check_trusted(OmegaConf.to_container(recorded), folder, cfg.trust is True or typed)
        if cfg.trust is not True:
            from recsys.training.trackers.nodes import check_destinations

            check_destinations(recorded, cfg, folder)
        check_overrides(folder, overrides, cfg)
        return recorded, recorded_overrides(folder) or []
    cfg = cfg.copy()
    with open_dict(cfg):
        cfg.resume = cfg.trust = False
    return cfg, overrides


def pruning_callbacks(cfg: DictConfig, folder: Path | None, trust: bool) -> list[Any]:
    """Return the callback that prunes a trial of a hyperparameter search; none outside a search."""
    from recsys.sweeps.trial import trial_of

    if folder is None or (trial := trial_of(folder, trust)) is None:
        return []
    from recsys.training.callbacks.pruning import PruneTrial

    return [PruneTrial(trial, cfg.ranking.k)]


if __name__ == "__main__":
    main()
