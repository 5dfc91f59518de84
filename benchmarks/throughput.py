"""Training speed in ratings per second, compared with plain Lightning and plain PyTorch.

    python benchmarks/throughput.py --threads 1 --seconds 2 --repeats 3

Every row trains the same network on the same synthetic ratings (the shape of MovieLens 1M) on the CPU, with
Adam and cosine restarts per batch. Lightning rows include progress bar, logging and checkpoints. Speeds are
those of the Throughput callback: wall time within epochs, after the first 10 steps. Every row has its own
process, so that settings of one row do not affect another; OMP_WAIT_POLICY is passive in all. Rounds of all
rows alternate, so that other load on the machine affects all of them; a ratio is the median over the rounds.

- stock Lightning: a LightningModule, DataLoader and Trainer with default settings;
- the article's loop: shuffled numpy arrays, one new tensor per batch, no framework (as in 2018);
- stock DataLoader, plain loop: the DataLoader of the first row without Lightning;
- recsys: data module, module, callbacks and trainer of `recsys-train`, in float32 and in each --precision.
"""

import argparse
import io
import itertools
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

# As the commands do: idle OpenMP threads that spin slow a shared machine down. torch reads this when it is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# isort: split
import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import LambdaCallback
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts
from torch.utils.data import DataLoader, TensorDataset

import recsys
from recsys.data.batches import Batch
from recsys.data.datamodule import MovieLensDataModule
from recsys.training.build import build_callbacks, build_data, build_module, build_trainer
from recsys.training.callbacks.throughput import WARM_UP_STEPS, Throughput

FIRST = "stock Lightning"
USERS, ITEMS = 6040, 3706
GROUPS = ("experiment=embedding-net", "data=synthetic", "data.step=0")
NETWORK = ("embedding_dim=50", "hidden=[100,200,300]", "dropouts=[0.5,0.5,0.25]", "embedding_dropout=0.05")


class PlainModule(pl.LightningModule):
    """The network of `NETWORK` built from torch's layers, as in a tutorial."""

    def __init__(self) -> None:
        super().__init__()
        self.users, self.items = nn.Embedding(USERS, 50), nn.Embedding(ITEMS, 50)
        layers: list[nn.Module] = [nn.Dropout(0.05)]
        for width_in, width, rate in ((100, 100, 0.5), (100, 200, 0.5), (200, 300, 0.25)):
            layers += [nn.Linear(width_in, width), nn.ReLU(), nn.Dropout(rate)]
        self.layers = nn.Sequential(*layers, nn.Linear(300, 1))

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Return predicted ratings (B,) of users (B,) and items (B,)."""
        vectors = torch.cat([self.users(users), self.items(items)], dim=1)  # (B, 100)
        return 0.5 + 5 * torch.sigmoid(self.layers(vectors)).squeeze(-1)

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        """Return the mean squared error and log it."""
        loss = nn.functional.mse_loss(self(batch[0], batch[1]), batch[2])
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self) -> Any:
        """Return Adam and a schedule that is stepped per batch."""
        optimizer = torch.optim.Adam(self.parameters(), lr=1e-3)
        scheduler = CosineAnnealingWarmRestarts(optimizer, 400, eta_min=1e-4)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def stock_loader(columns: Batch, batch_size: int) -> DataLoader:
    """Return a shuffling DataLoader over a TensorDataset."""
    dataset = TensorDataset(columns.users.long(), columns.items.long(), columns.ratings)
    return DataLoader(dataset, batch_size=batch_size, shuffle=True, num_workers=0)


def article_batches(columns: Batch, batch_size: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield batches of shuffled numpy arrays, copied into new tensors."""
    pairs = np.stack([columns.users.numpy(), columns.items.numpy()], axis=1).astype(np.int64)
    order = np.random.permutation(len(pairs))
    pairs, ratings = pairs[order], columns.ratings.numpy()[order]
    for start in range(0, len(pairs), batch_size):
        batch = torch.tensor(pairs[start : start + batch_size])
        yield batch[:, 0], batch[:, 1], torch.tensor(ratings[start : start + batch_size])


def stock_lightning(columns: Batch, batch_size: int, steps: int, folder: Path) -> float:
    """Return the speed of a Trainer with default settings."""
    clock = Throughput()
    counting = LambdaCallback(
        on_train_batch_start=clock.on_train_batch_start,
        on_train_batch_end=lambda t, m, out, batch, i: clock.on_train_batch_end(t, m, out, Batch(*batch), i),
    )
    limits: dict[str, Any] = {"accelerator": "cpu", "max_epochs": 1, "limit_train_batches": steps}
    trainer = pl.Trainer(default_root_dir=folder, callbacks=[counting], **limits)
    trainer.fit(PlainModule(), stock_loader(columns, batch_size))
    return clock.ratings_per_second


def plain_loop(batches: Callable[..., Iterable], columns: Batch, size: int, steps: int, _: Path) -> float:
    """Return the speed of a loop without a framework: sum loss, read after every batch, no files."""
    network, criterion = PlainModule(), nn.MSELoss(reduction="sum")
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    scheduler = CosineAnnealingWarmRestarts(optimizer, 400, eta_min=1e-4)
    total = start = 0.0
    for step, (users, items, ratings) in enumerate(itertools.islice(batches(columns, size), steps)):
        if step == WARM_UP_STEPS:
            start = time.perf_counter()
        optimizer.zero_grad()
        loss = criterion(network(users, items), ratings)
        loss.backward()
        optimizer.step()
        scheduler.step()
        total += loss.item()
    return (steps - WARM_UP_STEPS) * size / (time.perf_counter() - start)


def recsys_speed(data: MovieLensDataModule, overrides: list[str], steps: int, folder: Path) -> float:
    """Return the speed of module, callbacks and trainer of `recsys-train`."""
    cfg = recsys.compose(*overrides, f"+hardware.limit_train_batches={steps}")
    module, clock = build_module(cfg, data), Throughput()
    callbacks = build_callbacks(cfg, folder, data, module)
    build_trainer(cfg, folder, [*callbacks, clock], [TensorBoardLogger(folder, "", "")]).fit(module, data)
    return clock.ratings_per_second


def quietly(measure: Callable[[int, Path], float], steps: int) -> float:
    """Measure in a temporary folder, with output redirected to a hidden terminal that shows bars."""
    out = type("Terminal", (io.StringIO,), {"isatty": lambda self: True})()
    with redirect_stdout(out), redirect_stderr(out), tempfile.TemporaryDirectory() as folder:
        return measure(steps, Path(folder))


BASELINES: dict[str, Callable[[Batch, int, int, Path], float]] = {
    FIRST: stock_lightning,
    "the article's loop": partial(plain_loop, article_batches),
    "stock DataLoader, plain loop": partial(plain_loop, stock_loader),
}


def recsys_rows(args: argparse.Namespace) -> dict[str, list[str]]:
    """Return the rows of recsys and their overrides."""
    return {"recsys": [], **{f"recsys, {name}": [f"hardware.precision={name}"] for name in args.precision}}


class Bench:
    """The data and a measurement for each row; created once per process."""

    def __init__(self, args: argparse.Namespace) -> None:
        torch.set_num_threads(args.threads)
        logging.disable(logging.WARNING)
        common = [*GROUPS, *(f"model.{choice}" for choice in NETWORK), f"batch_size={args.batch_size}"]
        common += [f"data.ratings={args.ratings}", f"data.users={USERS}", f"data.items={ITEMS}"]
        common += ["hardware=cpu", "max_epochs=1", "schedule.cycle_epochs=1"]
        common += ["optimizer.lr=1e-3", "optimizer.weight_decay=0"]
        data = build_data(recsys.compose(*common))
        data.setup()
        columns, size = data.train_dataloader().columns, args.batch_size
        self.seconds, self.size, self.max_steps = args.seconds, size, len(columns.ratings) // size
        self.rows: dict[str, Callable[[int, Path], float]] = {
            **{name: partial(baseline, columns, size) for name, baseline in BASELINES.items()},
            **{
                name: partial(recsys_speed, data, [*common, *overrides])
                for name, overrides in recsys_rows(args).items()
            },
        }
        self.steps = 0

    def measure(self, row: str) -> float:
        """Return ratings per second; the first call determines how many steps fill `--seconds`."""
        if not self.steps:
            trial_steps = WARM_UP_STEPS + 10
            further_steps = int(self.seconds * quietly(self.rows[row], trial_steps) / self.size)
            self.steps = min(trial_steps + further_steps, self.max_steps)
        return quietly(self.rows[row], self.steps)


bench: Bench  # one per process


def start(args: argparse.Namespace) -> None:
    """Initialise a process for measurements."""
    global bench
    bench = Bench(args)


def measure(row: str) -> float:
    """Return ratings per second of one row."""
    return bench.measure(row)


def measure_all(args: argparse.Namespace) -> dict[str, list[float]]:
    """Return ratings per second of every row, one value per round."""
    if (batches := round(0.8 * args.ratings) // args.batch_size) < (required := WARM_UP_STEPS + 10):
        sys.exit(
            f"--ratings={args.ratings}: gives {batches} batches of {args.batch_size}, "
            f"at least {required} are needed; increase --ratings or reduce --batch-size"
        )
    names = [*BASELINES, *recsys_rows(args)]
    speeds = {name: list[float]() for name in names}
    with ExitStack() as stack:
        spawn = get_context("spawn")
        processes = {
            name: stack.enter_context(ProcessPoolExecutor(1, spawn, start, (args,))) for name in names
        }
        for turn, name in itertools.product(range(args.repeats), names):
            print(f"round {turn + 1} of {args.repeats}: {name}", file=sys.stderr)
            speeds[name].append(processes[name].submit(measure, name).result())
    return speeds


def main() -> None:
    """Measure all rows and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    option = partial(parser.add_argument, metavar="N")
    option("--ratings", type=int, default=1_000_000, help="80 %% of them are used for training (%(default)s)")
    option("--batch-size", type=int, default=2000, help="ratings per step (%(default)s)")
    option(
        "--seconds", type=float, default=4, help="duration of a measurement, at most one epoch (%(default)s)"
    )
    option("--repeats", type=int, default=5, help="rounds (%(default)s)")
    option("--threads", type=int, default=torch.get_num_threads(), help="torch threads (%(default)s)")
    option("--precision", nargs="*", default=["bf16-mixed"], help="further rows of recsys (%(default)s)")
    args = parser.parse_args()
    speeds = measure_all(args)
    print(f"torch {torch.__version__}, Lightning {pl.__version__}, recsys {recsys.__version__};", end=" ")
    print(f"{os.cpu_count()} cores, threads: {args.threads}, batches of {args.batch_size}\n")
    print(f"{'':<30}{'x stock':>9}{'ratings/s':>12}{'lowest':>12}{'highest':>12}")
    for name, found in speeds.items():
        ratio = median(speed / stock for speed, stock in zip(found, speeds[FIRST], strict=True))
        print(f"{name:<30}{ratio:>9.2f}", *(f"{pick(found):>11,.0f}" for pick in (median, min, max)))


if __name__ == "__main__":
    main()
