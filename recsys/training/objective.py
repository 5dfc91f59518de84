"""The objective and the added metrics of a training configuration."""

from typing import Any

from omegaconf import DictConfig, OmegaConf

from recsys.evaluation.added_metrics import AddedMetrics
from recsys.evaluation.objective import Objective, choose_objective
from recsys.training.losses import Loss


def build_metrics(cfg: DictConfig | dict[str, Any]) -> AddedMetrics:
    """Return the metrics of `metrics.<name>`.

    Raises:
        ConfigError: one of them is not a metric.
    """
    nodes: Any = cfg["metrics"]
    plain: Any = OmegaConf.to_container(nodes, resolve=True) if OmegaConf.is_config(nodes) else nodes
    return AddedMetrics.of(plain, cfg["ranking"]["k"])


def build_objective(cfg: DictConfig | dict[str, Any], loss: Loss, added: AddedMetrics) -> Objective:
    """Return the metric that selects weights: that of the key `objective`, or else of the loss.

    Raises:
        ConfigError: it is not computed, or its better direction is unknown.
    """
    k = cfg["ranking"]["k"]
    modes = added.modes(loss.predicts_ratings, k)
    return choose_objective(cfg["objective"], cfg["objective_mode"], loss.objective(k), modes)
