"""The validation metric that early stopping, the best weights and sweeps go by."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple


class Objective(NamedTuple):
    """A validation metric, and whether lower ("min") or higher ("max") values are better."""

    name: str
    mode: Literal["min", "max"]


VAL_RMSE = Objective("val/rmse", "min")


def to_minimise(objective: Mapping[str, Any]) -> float:
    """Return the objective as a value to minimise.

    Args:
        objective: as in result.json: {"name": ..., "value": ..., "mode": "min" or "max"}.
    """
    return -objective["value"] if objective["mode"] == "max" else objective["value"]
