"""Deep recommenders on MovieLens: a PyTorch Lightning + Hydra experiment framework.

    from recsys import compose, train, Recommender

    run = train(compose("experiment=embedding-net", "max_epochs=3"), folder="outputs/mine")
    Recommender.load(run.folder).recommend(42, k=5)

The names below are imported on first use, because torch and Lightning take seconds to import.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recsys.experiment.average import average
    from recsys.experiment.compose import compose
    from recsys.experiment.evaluate import evaluate
    from recsys.experiment.train import train
    from recsys.inference.recommender import Recommender
    from recsys.runs.folder import Run
    from recsys.runs.load import load_run

__version__ = "0.2.0"
__all__ = ["Recommender", "Run", "__version__", "average", "compose", "evaluate", "load_run", "train"]

_MODULES = {
    "Recommender": "recsys.inference.recommender",
    "Run": "recsys.runs.folder",
    "average": "recsys.experiment.average",
    "compose": "recsys.experiment.compose",
    "evaluate": "recsys.experiment.evaluate",
    "load_run": "recsys.runs.load",
    "train": "recsys.experiment.train",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name not in _MODULES:
        raise AttributeError(f"module 'recsys' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
