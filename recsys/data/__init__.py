"""Ratings in, tensors out. Public names are imported when they are first used, since Lightning takes seconds."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recsys.data.batches import Batch
    from recsys.data.datamodule import MovieLensDataModule
    from recsys.data.dataset import Dataset
    from recsys.data.splits import Split, SplitMethod

_MODULES = {
    "Batch": "batches",
    "Dataset": "dataset",
    "MovieLensDataModule": "datamodule",
    "Split": "splits",
    "SplitMethod": "splits",
}
__all__ = ["Batch", "Dataset", "MovieLensDataModule", "Split", "SplitMethod"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
