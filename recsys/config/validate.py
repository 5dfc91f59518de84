"""Validate a configuration: all errors at once, before anything is downloaded.

Types and ranges are those in the signature of the class or function that a `_target_` names, so a new model, loss
or split is checked without a change here. Other keys have their types in `recsys.config.schema`, and constraints across
several values are in `recsys.config.constraints`.
"""

from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

import recsys.config.resolvers  # noqa: F401 (registers the resolvers of conf/)
from recsys.config.constraints import Config, constraint_errors, data_errors
from recsys.config.schema import Ranking, TrainConfig
from recsys.config.trainer import OTHER_KEYS, Trainer, other_key_errors
from recsys.config.values import impossible_values, target_errors, type_errors
from recsys.errors import ConfigError, first_line
from recsys.training.auto_loss import choose_loss

BUILT = ("data", "split", "model", "loss", "optimizer", "schedule")  # their objects are always built
GROUPS = ("data", "split", "model", "loss", "optimizer", "schedule", "averaging")
NAMED = ("callbacks", "metrics")  # nodes of any name, each with a class


def validate(cfg: DictConfig, on_this_machine: bool = True) -> None:
    """Validate a composed training configuration.

    Args:
        cfg: the configuration.
        on_this_machine: whether training starts in this process; see `recsys.config.hardware.hardware_errors`.

    Raises:
        ConfigError: one line per error, each with the key, its value and what is allowed.
    """
    cfg = choose_loss(cfg)
    config = _resolve(cfg)
    # Not resolved: an interpolated value has another key.
    _raise(list(impossible_values("", OmegaConf.to_container(cfg))))
    errors = list(type_errors("", TrainConfig, config))
    for group in GROUPS:
        if isinstance(config.get(group), dict):
            if group in BUILT and "_target_" not in config[group]:
                errors.append(f"{group}._target_: is missing; choose an option with {group}=")
            errors += target_errors(group, config[group])
    for group in NAMED:
        if isinstance(config.get(group), dict):
            for name, node in config[group].items():
                errors += target_errors(f"{group}.{name}", node) if isinstance(node, dict) else ()
    errors += _trainer_errors(config.get("trainer"))
    errors += _logger_errors(config.get("logger", {}))
    _raise(
        errors or list(constraint_errors(config, on_this_machine))
    )  # constraints assume valid single values


def _trainer_errors(trainer: Any) -> Iterator[str]:
    if isinstance(trainer, dict):
        yield from other_key_errors(trainer)
        yield from type_errors(
            "trainer", Trainer, {name: value for name, value in trainer.items() if name not in OTHER_KEYS}
        )


def _logger_errors(nodes: Any) -> Iterator[str]:
    """Yield the errors of the trackers: of their form, of the values, and of missing packages."""
    from recsys.training.trackers.nodes import node_errors, tracker_class

    if errors := list(node_errors(nodes)):
        yield from errors
        return
    for name, node in nodes.items():
        key = f"logger.{name}"
        errors = list(target_errors(key, node))
        yield from errors or tracker_class(node).errors(key, node)


def validate_data(cfg: DictConfig) -> None:
    """Validate cfg.data alone, for commands that have no other groups.

    Raises:
        ConfigError: as `validate`.
    """
    data = _resolve(cfg)["data"]
    _raise(list(impossible_values("data", data)))
    _raise(list(target_errors("data", data)) or list(data_errors(data)))


def validate_ranking(k: int | None, threshold: float | None) -> None:
    """Validate the ranking keys of a command that has no others; None means the run's own value.

    Raises:
        ConfigError: as `validate`.
    """
    given = {"k": 0 if k is None else k, "threshold": threshold}
    _raise(list(impossible_values("ranking", given)))
    _raise(list(type_errors("ranking", Ranking, given)))


def _resolve(cfg: DictConfig) -> Config:
    """Return the configuration as plain values, none of them missing."""
    if missing := sorted(OmegaConf.missing_keys(cfg)):
        raise ConfigError("\n".join(f"{key}: needs a value ({key}=...)" for key in missing))
    try:
        return OmegaConf.to_container(cfg, resolve=True)  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        raise ConfigError(first_line(error)) from None


def _raise(errors: list[str]) -> None:
    if errors:
        raise ConfigError("\n".join(dict.fromkeys(errors)))
