"""loss=auto: the loss that fits the data and the network."""

import warnings
from pathlib import Path

from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf, open_dict

from recsys.errors import ConfigError
from recsys.paths import conf_dir
from recsys.runs.targets import quiet_hydra
from recsys.training.small_network import build_small_network


class AutoLoss:
    """Stands for the loss that `choose_loss` chooses; named by conf/loss/auto.yaml."""


def choose_loss(cfg: DictConfig) -> DictConfig:
    """Return a configuration in which loss=auto is replaced by the network's default loss for the data.

    See `RatingNetwork.default_loss`. If data or model are not valid, the configuration is returned as it is;
    `recsys.config.validate.validate` then reports their errors.

    Args:
        cfg: a training configuration.

    Raises:
        ConfigError: the network's default loss is not an option.
    """
    try:
        with quiet_hydra(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, about values that are refused later
            if get_class(cfg.loss._target_) is not AutoLoss:
                return cfg
            has_ratings = getattr(instantiate(cfg.data, _convert_="all"), "has_ratings", True)
            network = build_small_network(OmegaConf.to_container(cfg.model, resolve=True))  # type: ignore[arg-type]
        name = network.default_loss(has_ratings)
    except Exception:  # constructors of the user can raise anything, and values may be missing
        return cfg
    file = Path(conf_dir(), "loss", f"{name}.yaml")
    if not file.is_file() or name == "auto":
        raise ConfigError(
            f"model: {type(network).__name__}.default_loss returns {name!r}, which is not an option of loss="
        )
    cfg = cfg.copy()
    with open_dict(cfg):
        cfg.loss = OmegaConf.load(file)
    return cfg
