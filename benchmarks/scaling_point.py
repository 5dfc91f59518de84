"""One measurement of `scaling.py` in its own process: sample ratings into a folder, or train on them.

    python benchmarks/scaling_point.py FOLDER POINT BUDGET

If FOLDER does not exist, it is created with the ratings of the point; otherwise the measurement is printed.
"""

import json
import logging
import os
import sys
import tempfile
import time
import warnings
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

# As the commands do: idle OpenMP threads that spin slow a shared machine down. torch reads this when it is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# isort: split
from memory import peak_memory

from recsys import compose
from recsys.data import storage as encoded
from recsys.data.sources.base import Source
from recsys.data.sources.synthetic import Synthetic
from recsys.training.build import build_callbacks, build_data, build_module, build_trainer
from recsys.training.callbacks.throughput import WARM_UP_STEPS, Throughput

CORES = os.cpu_count() or 1
SHAPES = {1_000_000: (6040, 3706), 10_000_000: (69_878, 10_677), 32_000_000: (200_948, 84_432)}
WIDTHS = (100, 200, 300)
GROUPS = ["experiment=embedding-net", "data=synthetic", "data.step=0", "logger=none"]
GROUPS += ["model.dropouts=[0.5,0.5,0.25]", "model.embedding_dropout=0.05", "optimizer.lr=1e-3"]
GROUPS += ["max_epochs=1", "schedule.cycle_epochs=1"]


class Point(NamedTuple):
    """The settings of a measurement; defaults are the base. `hidden` is a multiple of `WIDTHS`."""

    ratings: int = 1_000_000
    embedding_dim: int = 50
    hidden: float = 1
    batch_size: int = 2000
    threads: int = CORES
    processes: int = 1


class Measurement(NamedTuple):
    """Training ratings per second; seconds per epoch and of the set-up; megabytes; measured steps."""

    speed: float
    epoch: float
    setup: float
    memory: float
    steps: int


@dataclass(frozen=True)
class SavedRatings(Source):
    """A source of ratings that were sampled before.

    Attributes:
        folder: contains the encoded ratings.
        name: of the data set.
    """

    folder: Path
    name: str = "synthetic"

    def load(self) -> encoded.Dataset:
        """Return the memory-mapped dataset."""
        return encoded.load(self.folder)


def measure(point: Point, folder: Path, budget: int) -> Measurement | None:
    """Measure a point in this process; return None in further processes of DDP.

    Args:
        point: settings to measure.
        folder: contains the sampled ratings.
        budget: approximate number of ratings to train on; wider networks use fewer.
    """
    imports, start = peak_memory(), time.perf_counter()
    users, items = SHAPES[point.ratings]
    hidden = ",".join(str(round(width * point.hidden)) for width in WIDTHS)
    steps = max(30, round(budget / point.batch_size / max(1, point.hidden) ** 2))
    overrides = [f"data.ratings={point.ratings}", f"data.users={users}", f"data.items={items}"]
    overrides += [f"model.embedding_dim={point.embedding_dim}", f"model.hidden=[{hidden}]"]
    overrides += [f"batch_size={point.batch_size}", f"+hardware.limit_train_batches={WARM_UP_STEPS + steps}"]
    overrides += [
        f"hardware={'ddp' if point.processes > 1 else 'cpu'}",
        f"hardware.devices={point.processes}",
    ]
    cfg = compose(*GROUPS, *overrides, "hardware.accelerator=cpu")
    data = build_data(cfg)
    data.source = SavedRatings(folder)
    data.setup()
    module, loader = build_module(cfg, data), data.train_dataloader()
    setup, start = time.perf_counter() - start, time.perf_counter()
    next(iter(loader))
    shuffling = time.perf_counter() - start
    del loader
    clock = Throughput()
    with tempfile.TemporaryDirectory() as run:
        callbacks = build_callbacks(cfg, Path(run), data, module)
        trainer = build_trainer(cfg, Path(run), [*callbacks, clock])
        trainer.limit_val_batches = 1  # validation is not measured
        trainer.fit(module, data)
    if not trainer.is_global_zero:
        return None
    speed = clock.ratings_per_second
    return Measurement(
        speed, shuffling + len(data.split.train) / speed, setup, peak_memory() - imports, steps
    )


def main() -> None:
    """Sample ratings, or measure a point and print the result."""
    folder, point = Path(sys.argv[1]), Point(*json.loads(sys.argv[2]))
    if not folder.exists():
        users, items = SHAPES[point.ratings]
        encoded.save(Synthetic(ratings=point.ratings, users=users, items=items, step=0).load(), folder)
        return
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    with redirect_stdout(sys.stderr):
        measured = measure(point, folder, int(sys.argv[3]))
    if measured is not None:
        print(json.dumps(measured))


if __name__ == "__main__":
    main()
