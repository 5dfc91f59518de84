"""Compose a configuration in Python, as the command line does."""

import logging

import hydra
from omegaconf import DictConfig, open_dict

import recsys.config.resolvers  # noqa: F401 (registers the resolvers of conf/)
from recsys.paths import conf_initialised

log = logging.getLogger(__name__)


def compose(*overrides: str, name: str = "train") -> DictConfig:
    """Compose a configuration; works inside and outside a Hydra app.

    Examples:
        >>> compose("model=bias", "seed=3").seed
        3

    Args:
        overrides: as typed after recsys-train.
        name: the primary configuration in conf/.

    Returns:
        The configuration, without the node `hydra`. The keys of a sweep (sweep=..., some experiments) have a single
        value in it, and a warning names them.

    Raises:
        HydraException: an override is not valid.
    """
    with conf_initialised():
        cfg = hydra.compose(name, list(overrides), return_hydra_config=True)
    if swept := cfg.hydra.sweeper.get("params"):
        log.warning("compose() returns one configuration; recsys-train sweeps %s", ", ".join(swept))
    with open_dict(cfg):
        del cfg["hydra"]
    return cfg
