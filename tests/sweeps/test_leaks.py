"""Many runs in one process keep no objects and no open files of earlier runs."""

import gc
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from support.tiny import PLAIN

from recsys.data.dataset import Dataset
from recsys.experiment.train import train

KINDS = (torch.nn.Module, torch.Tensor, pl.Trainer, pl.Callback, pl.LightningDataModule, Dataset)
TINY = ["data=synthetic", "data.ratings=1000", "data.users=40", "data.items=40", "batch_size=500"]
TINY += ["max_epochs=1", "hardware=cpu", *PLAIN, "model.hidden=[16]"]


def in_use() -> Counter[str]:
    """Return the numbers of live objects of each kind, and of open files."""
    gc.collect()
    counts = Counter(
        kind.__name__ for obj in gc.get_objects() for kind in KINDS if issubclass(type(obj), kind)
    )
    counts["open files"] = len(os.listdir("/proc/self/fd"))
    return counts


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files in /proc")
@pytest.mark.parametrize("logger", ["csv", "tensorboard"])
def test_runs_in_one_process_release_what_they_used(
    logger: str, compose: Callable[..., DictConfig], tmp_path: Path
) -> None:
    counts = []
    for job in range(8):
        train(compose(*TINY, f"seed={job}", f"logger={logger}"), tmp_path / str(job))
        counts.append(in_use())
    growth = counts[-1] - counts[2]  # the first runs fill caches
    assert not growth, f"new since the third run: {growth}"
