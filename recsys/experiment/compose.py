"""Compose a configuration in Python, as the command line does."""

import hydra
from omegaconf import DictConfig

from recsys.paths import conf_initialised


def compose(*overrides: str, name: str = "train") -> DictConfig:
    """Compose a configuration; works inside and outside a Hydra app.

    >>> compose("model=bias", "seed=3").seed
    3

    Args:
        overrides: as typed after recsys-train.
        name: the primary configuration in conf/.

    Returns:
        The configuration, without the node `hydra`.

    Raises:
        HydraException: an override is not valid.
    """
    with conf_initialised():
        return hydra.compose(name, list(overrides))
