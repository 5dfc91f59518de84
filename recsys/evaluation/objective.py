"""The validation metric that early stopping, the best weights and sweeps go by."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple


class Objective(NamedTuple):
    """A validation metric, and whether lower ("min") or higher ("max") values are better."""

    name: str
    mode: Literal["min", "max"]

    @property
    def sign(self) -> int:
        """1 or -1: what a value is multiplied by to be minimised."""
        return -1 if self.mode == "max" else 1


VAL_RMSE = Objective("val/rmse", "min")


def to_minimise(objective: Mapping[str, Any]) -> float:
    """Return the objective as a value to minimise.

    Args:
        objective: as in result.json: {"name": ..., "value": ..., "mode": "min" or "max"}.
    """
    return Objective(objective["name"], objective["mode"]).sign * objective["value"]
