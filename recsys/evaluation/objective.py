"""What a run is chosen by on validation, and which way is better: early stopping, best weights, sweeps."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple


class Objective(NamedTuple):
    """A validation metric and whether less ("min") or more ("max") of it is better."""

    name: str
    mode: Literal["min", "max"]


def ranks(config: Mapping[str, Any]) -> bool:
    """Whether a configuration's loss trains scores that order items and are no ratings.

    Such a loss is told by its `negatives`: what was rated is compared with items drawn by chance.
    """
    return "negatives" in config.get("loss", {})  # an older run says nothing of its loss


def objective_of(config: Mapping[str, Any]) -> Objective:
    """What early stopping and the best weights follow: val/rmse, or val/ndcg@k where the loss ranks."""
    return Objective(f"val/ndcg@{config['ranking']['k']}", "max") if ranks(config) else VAL_RMSE


def to_minimise(objective: Mapping[str, Any]) -> float:
    """The value of a result's objective such that less is better, whatever it is: more is told negated.

    Args:
        objective: {"name": ..., "value": ..., "mode": "min" or "max"}; without a mode, less is better.
    """
    return -objective["value"] if objective.get("mode") == "max" else objective["value"]


VAL_RMSE = Objective("val/rmse", "min")
