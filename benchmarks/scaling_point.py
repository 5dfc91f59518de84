"""One measurement of `scaling.py`, in a process of its own: draw ratings into a folder, or train on them.

    python benchmarks/scaling_point.py FOLDER POINT BUDGET

A folder that is not there is made, with the ratings of the point in it; otherwise the figures are printed.
"""

import json
import logging
import os
import resource
import sys
import tempfile
import time
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import recsys  # noqa: F401 - before torch: it keeps idle OpenMP threads from spinning

# isort: split
import hydra
from omegaconf import OmegaConf

from recsys.data import dataset as encoded
from recsys.data.sources.synthetic import Synthetic
from recsys.paths import conf_dir
from recsys.training.build import build_data, build_module, build_trainer
from recsys.training.callbacks.throughput import WARM_UP_STEPS, Throughput

CORES = os.cpu_count() or 1
SHAPES = {1_000_000: (6040, 3706), 10_000_000: (69_878, 10_677), 32_000_000: (200_948, 84_432)}
WIDTHS = (100, 200, 300)
GROUPS = ["experiment=embedding-net", "data=synthetic", "data.step=0", "logger=none"]
GROUPS += ["model.dropouts=[0.5,0.5,0.25]", "model.embedding_dropout=0.05", "optimizer.lr=1e-3"]
GROUPS += ["max_epochs=1", "schedule.cycle_epochs=1", "+hardware.limit_val_batches=1"]


class Point(NamedTuple):
    """What is measured: the base, where nothing else is said. `hidden` is a multiple of `WIDTHS`."""

    ratings: int = 1_000_000
    embedding_dim: int = 50
    hidden: float = 1
    batch_size: int = 2000
    threads: int = CORES
    processes: int = 1


class Found(NamedTuple):
    """Ratings per second while training; seconds of an epoch and of the set-up; megabytes; steps."""

    speed: float
    epoch: float
    setup: float
    memory: float
    steps: int


class Saved(NamedTuple):
    """A source of ratings that were drawn before."""

    folder: Path

    def load(self) -> encoded.Dataset:
        """Mapped into memory."""
        return encoded.load(self.folder)


def peak() -> float:
    """Megabytes of this process at most so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def measure(point: Point, folder: Path, budget: int) -> Found | None:
    """One measurement in this process; None in a helper process of DDP.

    Args:
        point: what is measured.
        folder: holds the drawn ratings.
        budget: about how many ratings the measured steps train on, fewer in a wider network.
    """
    imports, start = peak(), time.perf_counter()
    users, items = SHAPES[point.ratings]
    hidden = ",".join(str(round(width * point.hidden)) for width in WIDTHS)
    steps = max(30, round(budget / point.batch_size / max(1, point.hidden) ** 2))
    words = [f"data.ratings={point.ratings}", f"data.users={users}", f"data.items={items}"]
    words += [f"model.embedding_dim={point.embedding_dim}", f"model.hidden=[{hidden}]"]
    words += [f"batch_size={point.batch_size}", f"+hardware.limit_train_batches={WARM_UP_STEPS + steps}"]
    words += [f"hardware={'ddp' if point.processes > 1 else 'cpu'}", f"hardware.devices={point.processes}"]
    with hydra.initialize_config_dir(conf_dir(), version_base="1.3"):
        cfg = hydra.compose("train", [*GROUPS, *words, "hardware.accelerator=cpu"])
    config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    data = build_data(cfg)
    data.source = Saved(folder)
    data.setup()
    module, loader = build_module(cfg, config, data), data.train_dataloader()
    setup, start = time.perf_counter() - start, time.perf_counter()
    next(iter(loader))
    shuffling = time.perf_counter() - start
    del loader
    clock = Throughput()
    with tempfile.TemporaryDirectory() as run:
        trainer = build_trainer(cfg, Path(run), clock)
        trainer.fit(module, data)
    if not trainer.is_global_zero:
        return None
    speed = clock.ratings_per_second
    return Found(speed, shuffling + len(data.split.train) / speed, setup, peak() - imports, steps)


def main() -> None:
    """Draw ratings, or measure a point and print it."""
    folder, point = Path(sys.argv[1]), Point(*json.loads(sys.argv[2]))
    if not folder.exists():
        users, items = SHAPES[point.ratings]
        encoded.save(Synthetic(ratings=point.ratings, users=users, items=items).load(), folder)
        return
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    with redirect_stdout(sys.stderr):
        found = measure(point, folder, int(sys.argv[3]))
    if found is not None:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
