"""The validation metric that early stopping, the best weights and sweeps go by."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from recsys.errors import ConfigError
from recsys.types import Mode


class Objective(NamedTuple):
    """A validation metric, and whether lower ("min") or higher ("max") values are better."""

    name: str
    mode: Mode

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


def choose_objective(
    name: str | None, mode: Mode | None, default: Objective, modes: Mapping[str, Mode | None]
) -> Objective:
    """Return the metric that the keys `objective` and `objective_mode` choose.

    Args:
        name: such as "val/mae"; None: the default.
        mode: the better direction, for a metric that does not know it; None: the metric knows it.
        default: what the loss selects weights by.
        modes: the names of all computed metrics without "val/", and their better direction, None if unknown.

    Raises:
        ConfigError: the metric is not computed, or its direction is unknown or contradicts `mode`.
    """
    if name is None:
        if mode is not None:
            raise ConfigError(f"objective_mode={mode}: needs objective=val/<name>; remove it")
        return default
    own = name.removeprefix("val/")
    if own not in modes or name == own:
        metric, _, k = own.partition("@")
        same = [other for other in modes if k.isdecimal() and other.partition("@")[0] == metric]
        hint = f" (ranking.k={k} computes @{k})" if same else ""
        allowed = ", ".join(f"val/{other}" for other in modes)
        raise ConfigError(f"objective={name!s:.100}: is not computed{hint}; choose one of {allowed}")
    known = modes[own]
    if known is None and mode is None:
        raise ConfigError(
            f"objective={name}: metrics.{own.split('@')[0]} does not say whether higher is better; add "
            "objective_mode=min or objective_mode=max"
        )
    if known is not None and mode is not None and mode != known:
        raise ConfigError(
            f"objective_mode={mode}: {name} is better if it is {'higher' if known == 'max' else 'lower'}; remove "
            "objective_mode"
        )
    return Objective(name, known or mode or "min")
