"""Compose and validate the configuration of every job of a sweep."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import HydraContext
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf, open_dict

from recsys.errors import ConfigError, first_line
from recsys.paths import conf_dir
from recsys.runs.record import config_folders


def compose_jobs(
    context: HydraContext,
    config: DictConfig,
    job_overrides: Sequence[Sequence[str]],
    first: int | None = None,
) -> list[DictConfig]:
    """Return the configurations of all jobs, each validated.

    Args:
        context: Hydra's, for composing.
        config: the configuration of the sweep.
        job_overrides: one list per job.
        first: the number of the first job; None: samples of a search space, whose errors have no number.

    Raises:
        ConfigError: there are no jobs; two files in one command sweep; or the errors of all jobs, each with
            the number of the first job that has it.
    """
    if not job_overrides:
        raise ConfigError("nothing to run: a swept key has no values")
    _refuse_two_sweeps(config, job_overrides)
    from recsys.config.validate import validate

    check_plugins(config)
    launcher = get_class(config.hydra.launcher["_target_"])
    on_this_machine = getattr(launcher, "on_this_machine", True)
    configs, errors = [], dict[str, int]()
    for number, overrides in enumerate(job_overrides, first or 0):
        try:
            job_config = context.config_loader.load_sweep_config(config, list(overrides))
        except HydraException as error:  # for example a key that only one of two swept models has
            reason = first_line(error.__cause__ or error)
            raise ConfigError(f"job {number} ({' '.join(overrides)}): {reason}") from None
        with open_dict(job_config):
            job_config.hydra.job.id = str(number)
            job_config.hydra.job.num = number
        configs.append(job_config)
        for key in ("hardware.devices", "hardware.num_nodes", "output_dir"):
            own, common = OmegaConf.select(job_config, key), OmegaConf.select(config, key)
            if own is not None and own != common:
                errors.setdefault(f"{key}={own}: all jobs of a sweep must share one value ({common})", number)
        task = job_config.copy()
        with open_dict(task):
            task.pop("hydra")
        try:
            validate(task, on_this_machine)
        except ConfigError as error:
            for line in str(error).splitlines():
                errors.setdefault(line, number)
    if errors:
        lines = (line if first is None else f"job {number}: {line}" for line, number in errors.items())
        raise ConfigError("\n".join(lines))
    return configs


def check_plugins(config: DictConfig) -> None:
    """Check the keys of launcher and sweeper, hydra.launcher.* and hydra.sweeper.*.

    Raises:
        ConfigError: one line per error.
    """
    from recsys.config.values import impossible_values, target_errors

    for node in ("launcher", "sweeper"):
        plain: Any = OmegaConf.to_container(config.hydra[node])
        errors = list(impossible_values(f"hydra.{node}", plain))
        if getattr(get_class(plain["_target_"]), "has_typed_arguments", False):
            errors += target_errors(f"hydra.{node}", plain)
        if errors:
            raise ConfigError("\n".join(errors))


def swept_overrides(config: DictConfig) -> list[Override]:
    """Return the overrides of a sweep that have several values, from its sweep file and the command line."""
    params = config.hydra.sweeper.get("params") or {}
    if not OmegaConf.is_dict(params) and params:
        raise ConfigError(f"hydra.sweeper.params={params}: must have a key for each swept key")
    typed = [*(f"{key}={values}" for key, values in params.items()), *config.hydra.overrides.task]
    parsed = OverridesParser.create().parse_overrides(typed)
    return [override for override in parsed if override.is_sweep_override()]


def _refuse_two_sweeps(config: DictConfig, job_overrides: Sequence[Sequence[str]]) -> None:
    """Refuse two files that sweep: Hydra would silently combine them into one grid, or ignore one.

    Raises:
        ConfigError: with both files.
    """
    chosen = {
        override
        for overrides in job_overrides
        for override in overrides
        if override.startswith(("sweep=", "experiment="))
    }
    hydra: Any = OmegaConf.to_container(config.hydra)
    sweeping = []
    for override in sorted(chosen):
        for folder in dict.fromkeys([conf_dir(), *config_folders(hydra)]):
            file = Path(folder, *override.split("=", 1)).with_suffix(".yaml")
            content = yaml.safe_load(file.read_text("utf-8")) if file.is_file() else {}
            if content.get("hydra", {}).get("sweeper", {}).get("params"):
                sweeping.append(override)
    if len(sweeping) > 1:
        raise ConfigError(
            f"{' and '.join(sweeping)}: use one sweep file at a time; type further keys after -m"
        )
