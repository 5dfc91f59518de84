"""Training. Public names are imported when they are first used, since Lightning takes seconds."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recsys.training.losses import BPR, Loss, Pointwise, SampledSoftmax
    from recsys.training.module import RatingModule
    from recsys.training.regularization import L2Penalty
    from recsys.training.schedules import Constant, CosineRestarts, OneCycle, Schedule, Triangular

_MODULES = {
    "BPR": "losses",
    "Constant": "schedules",
    "CosineRestarts": "schedules",
    "L2Penalty": "regularization",
    "Loss": "losses",
    "OneCycle": "schedules",
    "Pointwise": "losses",
    "RatingModule": "module",
    "SampledSoftmax": "losses",
    "Schedule": "schedules",
    "Triangular": "schedules",
}
__all__ = [
    "BPR",
    "Constant",
    "CosineRestarts",
    "L2Penalty",
    "Loss",
    "OneCycle",
    "Pointwise",
    "RatingModule",
    "SampledSoftmax",
    "Schedule",
    "Triangular",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
