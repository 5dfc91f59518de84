"""Training speed in ratings per second, beside what people usually write; all in one run, ratios count.

    python benchmarks/throughput.py
    python benchmarks/throughput.py --steps 200 --rounds 5 --batch-size 128

The same network (embeddings of 50, layers of 100, 200, 300, the article's dropouts), the same synthetic
ratings in the shape of ML-1M, Adam and a cosine schedule stepped per batch, everywhere:

    lightning     LightningModule, TensorDataset, DataLoader, nn.Dropout, self.log: what people write
    dataloader    the same DataLoader in a plain loop
    article       the 2018 article's loop: shuffled arrays cut into batches, tensors made batch by batch
    recsys        this project's own run, with its progress output, logging and checkpoints
    recsys-bf16   with --bf16: hardware.precision=bf16-mixed, for processors that have such instructions

The clock stops for validation and set-up and leaves out the first 10 steps, as in result.json.
"""

import argparse
import contextlib
import io
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import hydra
import numpy as np

from recsys.command import config_folder, register_resolvers  # before torch: sets how OpenMP threads wait

import pytorch_lightning as pl  # isort: skip
import torch  # isort: skip
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig  # isort: skip
from torch import Tensor, nn  # isort: skip
from torch.utils.data import DataLoader, TensorDataset  # isort: skip

from recsys.models.dropout import Dropout
from recsys.models.embedding_net import EmbeddingNet
from recsys.training.build import build_data, build_module, build_trainer
from recsys.training.throughput import WARM_UP_STEPS, Throughput

USERS, MOVIES, RATINGS = 6040, 3706, 1_000_000
OVERRIDES = [
    *("data=synthetic", f"data.users={USERS}", f"data.movies={MOVIES}", f"data.ratings={RATINGS}"),
    *("model.embedding_dim=50", "model.hidden=[100,200,300]", "model.dropouts=[0.5,0.5,0.25]"),
    *("model.embedding_dropout=0.05", "optimizer.lr=1e-3", "optimizer.weight_decay=0", "hardware=cpu"),
]
Columns = tuple[Tensor, Tensor, Tensor]


def network() -> EmbeddingNet:
    """The network as people write it: nn.Dropout in place of the project's own."""
    net = EmbeddingNet(USERS, MOVIES, [1, 5], 3.0, 50, [100, 200, 300], [0.5, 0.5, 0.25], 0.05)
    for index, layer in enumerate(net.layers):
        if isinstance(layer, Dropout):
            net.layers[index] = nn.Dropout(layer.p)
    return net


def cosine(optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
    """A schedule to step per batch."""
    return torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 1000)


class Stock(pl.LightningModule):
    """A LightningModule as in a tutorial."""

    def __init__(self) -> None:
        super().__init__()
        self.network = network()

    def training_step(self, batch: Columns, batch_idx: int) -> Tensor:
        """Mean squared error, logged."""
        users, movies, ratings = batch
        loss = nn.functional.mse_loss(self.network(users, movies), ratings)
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Adam, and the schedule per batch."""
        optimizer = torch.optim.Adam(self.parameters(), lr=1e-3)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cosine(optimizer), "interval": "step"}}


class Stopwatch(pl.Callback):
    """Ratings per second of a stock module, measured as `Throughput` does."""

    speed = 0.0

    def on_train_batch_start(
        self, trainer: pl.Trainer, module: pl.LightningModule, batch: Columns, index: int
    ) -> None:
        """Start after the warm-up."""
        if index == WARM_UP_STEPS:
            self.start, self.seen = time.perf_counter(), 0

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: object, batch: Columns, index: int
    ) -> None:
        """Count, and remember the speed so far."""
        if index >= WARM_UP_STEPS:
            self.seen += len(batch[2])
            self.speed = self.seen / (time.perf_counter() - self.start)


def loader(columns: Columns, batch_size: int) -> DataLoader:
    """A stock shuffling loader."""
    return DataLoader(TensorDataset(*columns), batch_size, shuffle=True)


def lightning(columns: Columns, batch_size: int, steps: int, folder: Path) -> float:
    """What people write."""
    watch = Stopwatch()
    trainer = pl.Trainer(accelerator="cpu", max_steps=steps, default_root_dir=folder, callbacks=[watch])
    trainer.fit(Stock(), loader(columns, batch_size))
    return watch.speed


def plain_loop(batches: Iterable[Columns], steps: int, total_loss: bool = False) -> float:
    """A loop of one's own; `total_loss` sums squared errors as the article does."""
    net = network().train()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    schedule = cosine(optimizer)
    seen, start, loss_sum = 0, 0.0, 0.0
    for step, (users, movies, ratings) in enumerate(batches):
        if step == WARM_UP_STEPS:
            seen, start = 0, time.perf_counter()
        if step == steps:
            break
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(net(users, movies), ratings, reduction="sum" if total_loss else "mean")
        loss.backward()
        optimizer.step()
        schedule.step()
        loss_sum += loss.item()
        seen += len(ratings)
    return seen / (time.perf_counter() - start)


def dataloader(columns: Columns, batch_size: int, steps: int, folder: Path) -> float:
    """A stock loader in a plain loop."""
    return plain_loop(loader(columns, batch_size), steps)


def article(columns: Columns, batch_size: int, steps: int, folder: Path) -> float:
    """The article's iterator: ids in one shuffled array, cut into batches that become tensors one by one."""
    pairs, ratings = torch.stack(columns[:2], 1).numpy(), columns[2].numpy()

    def batches() -> Iterator[Columns]:
        order = np.random.permutation(len(ratings))
        shuffled, true = pairs[order], ratings[order]
        for start in range(0, len(ratings), batch_size):
            ids = torch.LongTensor(shuffled[start : start + batch_size])
            yield ids[:, 0], ids[:, 1], torch.FloatTensor(true[start : start + batch_size])

    return plain_loop(batches(), steps, total_loss=True)


def recsys(columns: Columns, batch_size: int, steps: int, folder: Path, precision: str = "32-true") -> float:
    """This project's own run, cut short after `steps`."""
    with hydra.initialize_config_dir(config_folder(), version_base="1.3"):
        cfg = hydra.compose(
            "train", [*OVERRIDES, f"batch_size={batch_size}", f"hardware.precision={precision}"]
        )
    data = build_data(cfg)
    data.setup()
    throughput = Throughput()
    trainer = build_trainer(cfg, folder, throughput)
    trainer.fit_loop.epoch_loop.max_steps = steps
    trainer.limit_train_batches = steps  # so that the last one ends the epoch, and the clock
    trainer.fit(build_module(cfg, {}, data), data)
    return throughput.ratings_per_second


def recsys_bf16(columns: Columns, batch_size: int, steps: int, folder: Path) -> float:
    """The same in bfloat16."""
    return recsys(columns, batch_size, steps, folder, "bf16-mixed")


def main() -> None:
    """Measure in turn, round after round, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=100, help="training steps of a measurement")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each")
    parser.add_argument("--batch-size", type=int, default=2000, help="ratings of a step")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of torch")
    parser.add_argument("--bf16", action="store_true", help="also measure hardware.precision=bf16-mixed")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    register_resolvers()
    random = np.random.default_rng(0)
    columns = (
        torch.from_numpy(random.integers(0, USERS, RATINGS)),
        torch.from_numpy(random.integers(0, MOVIES, RATINGS)),
        torch.from_numpy(random.integers(1, 6, RATINGS).astype(np.float32)),
    )
    ways: list[Callable[[Columns, int, int, Path], float]] = [lightning, dataloader, article, recsys]
    ways += [recsys_bf16] if options.bf16 else []
    speeds: dict[str, list[float]] = {way.__name__: [] for way in ways}
    for _ in range(options.rounds):
        for way in ways:
            with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
                speeds[way.__name__].append(way(columns, options.batch_size, options.steps, Path(folder)))
    print(
        f"{os.cpu_count()} cores, {options.threads} threads, torch {torch.__version__}, "
        f"batch {options.batch_size}, {options.rounds} rounds of {options.steps} steps\n"
    )
    print(f"{'way':<12}{'ratings/s':>12}{'min':>12}{'max':>12}{'x lightning':>14}")
    for name, measured in speeds.items():
        ratios = [own / stock for own, stock in zip(measured, speeds["lightning"], strict=True)]
        print(
            f"{name.replace('_', '-'):<12}{statistics.median(measured):>12,.0f}{min(measured):>12,.0f}"
            f"{max(measured):>12,.0f}{statistics.median(ratios):>14.2f}"
        )


if __name__ == "__main__":
    main()
