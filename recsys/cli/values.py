"""Checks of the values of commands that have no typed configuration."""

from omegaconf import DictConfig, OmegaConf

from recsys.errors import ConfigError


def require_booleans(cfg: DictConfig, *keys: str) -> None:
    """Check that keys are true or false; other YAML versions also know yes, no, on and off.

    Raises:
        ConfigError: one of them is something else.
    """
    for key in keys:
        if not isinstance(cfg[key], bool):
            raise ConfigError(f"{key}={cfg[key]}: must be true or false")


def require_groups(cfg: DictConfig, *keys: str) -> None:
    """Check that keys which have keys of their own were not replaced by a single value.

    Raises:
        ConfigError: one of them was.
    """
    for key in keys:
        if not OmegaConf.is_dict(cfg.get(key)):
            raise ConfigError(
                f"{key}={cfg.get(key)}: has keys of its own; set one of them, {key}.<name>=<value>"
            )
