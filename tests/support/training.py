"""Data modules and runs for tests of training."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from recsys.data.datamodule import MovieLensDataModule
from recsys.data.sources.synthetic import Synthetic
from recsys.data.splits import RandomSplit
from recsys.experiment.train import train


def synthetic_data(batch_size: int = 200, **options: Any) -> MovieLensDataModule:
    """Return a data module of synthetic ratings, set up.

    Args:
        batch_size: ratings of a training batch.
        options: of `Synthetic`; 1,000 ratings of 40 users for 30 items if not given.
    """
    source = Synthetic(**{"ratings": 1000, "users": 40, "items": 30, **options})
    data = MovieLensDataModule(source, RandomSplit(), batch_size)
    data.setup()
    return data


def train_result(cfg: DictConfig, folder: Path, **options: Any) -> dict[str, Any]:
    """Train into `folder` and return the content of result.json; `options` are further arguments of `train`."""
    outcome = train(cfg, folder, **options)
    return getattr(outcome, "result", outcome)


def checkpoint_path(folder: Path, name: str = "best") -> Path:
    """Return the path of a run's checkpoint, "best" or "last"."""
    return folder / "checkpoints" / f"{name}.ckpt"
