"""Data modules and runs for tests of training."""

import signal
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from pytorch_lightning.callbacks import Callback

from recsys.data.datamodule import MovieLensDataModule
from recsys.data.sources.synthetic import Synthetic
from recsys.data.splits import RandomSplit
from recsys.errors import Stopped
from recsys.experiment.train import train
from recsys.runs.folder import checkpoint_in


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
    return train(cfg, folder, **options).result


class SendSignal(Callback):
    """Sends SIGTERM to the own process after a step; the run stops after the next step.

    Args:
        step: number of batches.
    """

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: pl.Trainer, *_: object) -> None:
        if trainer.global_step == self.step:
            signal.raise_signal(signal.SIGTERM)


def interrupted(cfg: DictConfig, folder: Path, step: int) -> None:
    """Train into `folder` until a signal arrives after a step."""
    with pytest.raises(Stopped):
        train(cfg, folder, callbacks=[SendSignal(step)])


def best_score(folder: Path, name: str = "best") -> float:
    """Return the objective as it was when the best weights were saved, from a checkpoint of the run."""
    content = torch.load(checkpoint_in(folder, name), weights_only=True)
    (state,) = (
        state for callback, state in content["callbacks"].items() if callback.startswith("CycleEndCheckpoint")
    )
    return float(state["best_model_score"])
