"""Metrics and baselines. Public names are imported when they are first used, since torch takes seconds."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recsys.evaluation.added_metrics import RankingMetric
    from recsys.evaluation.ranked_lists import RankedLists

_MODULES = {"RankedLists": "ranked_lists", "RankingMetric": "added_metrics"}
__all__ = ["RankedLists", "RankingMetric"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
