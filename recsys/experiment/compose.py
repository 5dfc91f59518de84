"""Compose a configuration in Python, as the command line does."""

import hydra
from hydra import version
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from recsys.paths import conf_dir


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
    running, version_base = GlobalHydra.instance().hydra, version.getbase()
    GlobalHydra.instance().clear()  # Hydra refuses to initialise twice
    try:
        with hydra.initialize_config_dir(conf_dir(), version_base="1.3"):
            return hydra.compose(name, list(overrides))
    finally:
        GlobalHydra.instance().clear()
        if running is not None:
            GlobalHydra.instance().initialize(running)
            version.setbase(str(version_base))
