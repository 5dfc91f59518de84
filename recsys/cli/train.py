"""Train a network: the command `recsys-train`."""

import sys
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from recsys.cli.app import run_command
from recsys.errors import ConfigError, Stopped, UserError
from recsys.experiment.train import train
from recsys.runs.folder import is_claimed, write_failure
from recsys.runs.resume import OWN, words_to_go_on
from recsys.sweeps.job import end_with_parent


def main() -> None:
    """`recsys-train`."""
    try:
        sys.argv[1:] = words_to_go_on(sys.argv[1:])
    except UserError as mistake:
        sys.exit(str(mistake))
    run_command("train", _task)


def _pruning(cfg: DictConfig, folder: Path) -> list[Any]:
    """Return the callback that prunes a trial of a search; none outside a search."""
    from recsys.sweeps.optuna import trial_of

    if (trial := trial_of(folder)) is None:
        return []
    from recsys.training.callbacks.pruning import PruneTrial

    return [PruneTrial(trial, cfg.ranking.k)]


def _task(cfg: DictConfig) -> float | None:
    """One run under Hydra: hands the best validation value to whoever sweeps, or leaves failed.json.

    Who sweeps takes less for better, so a value of which more is better is handed over negated.
    """
    end_with_parent()
    hydra = HydraConfig.get()
    folder = Path(hydra.runtime.output_dir)
    overrides = [word for word in hydra.overrides.task if word.split("=")[0] not in OWN]
    try:
        if hydra.mode is RunMode.RUN and cfg.sweep.resume is not None:
            raise ConfigError(
                f"sweep.resume={cfg.sweep.resume}: goes on with a sweep; say -m, and what it swept"
            )
        if hydra.mode is RunMode.MULTIRUN and cfg.sweep.resume is not None:
            raise ConfigError(
                f"sweep.resume={cfg.sweep.resume}: this launcher runs every job again; "
                "hydra/launcher=pool, ray and slurm go on"
            )
        if hydra.mode is RunMode.MULTIRUN and cfg.hardware.strategy == "ddp":
            raise ConfigError(
                "hardware.strategy=ddp in a sweep: Lightning would start each process with the whole sweep; "
                "sweep with one device per job (hardware=auto)"
            )
        result = train(cfg, folder, overrides, _pruning(cfg, folder))
    except (Stopped, KeyboardInterrupt):  # unfinished is not failed
        raise
    except BaseException as error:
        goes_on = cfg.resume or cfg.sweep.resume is not None
        is_slip = isinstance(error, ConfigError) and (goes_on or is_claimed(folder))  # and leaves no trace
        if not is_slip:
            write_failure(folder, error, overrides)
        raise
    if not result:
        return None
    from recsys.evaluation.summary import print_summary

    print_summary(result, folder)
    from recsys.evaluation.objective import to_minimise

    return to_minimise(result["objective"])


if __name__ == "__main__":
    main()
