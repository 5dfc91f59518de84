"""The article's network in benchmarks/gpu.py: common training loops, and recsys."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import pytorch_lightning as pl
import torch
from gpu_data import Skewed
from gpu_rows import Row
from throughput import PlainModule, stock_loader
from torch import Tensor
from torch.optim import Adam

from recsys import compose
from recsys.data.batches import Batch, to_tensors
from recsys.data.datamodule import MovieLensDataModule
from recsys.training.build import build_callbacks, build_data, build_module, build_trainer
from recsys.training.callbacks.throughput import WARM_UP_STEPS, Throughput

ARTICLE = ["experiment=embedding-net", "model.embedding_dim=50", "model.hidden=[100,200,300]", "snapshots=1"]
ARTICLE += ["model.dropouts=[0.5,0.5,0.25]", "model.embedding_dropout=0.05", "optimizer.weight_decay=0"]
STOCK = "stock Lightning and DataLoader"
NO_GRAPH = "hardware.cuda_graph=false"
VARIANTS = {
    "float32": [],
    "bf16": ["hardware.precision=bf16-mixed"],
    "tf32": ["hardware.tf32=true"],
    "no CUDA graph": [NO_GRAPH],
    "bf16, no CUDA graph": ["hardware.precision=bf16-mixed", NO_GRAPH],
}
COMPILED = {
    "compiled": ["hardware.compile=true"],
    "compiled, no CUDA graph": ["hardware.compile=true", NO_GRAPH],
}
TIMES = {"cuda": 3, "cpu": 1}  # repetitions, of which the median counts


def synchronise(device: str) -> None:
    """Wait for all work of the device."""
    torch.get_device_module(device).synchronize()


def ratings(shape: str) -> MovieLensDataModule:
    """Return a data module of a shape, set up."""
    data = build_data(compose("data=synthetic"))
    data.source = Skewed(shape)
    data.setup()
    return data


def recsys_speed(
    data: MovieLensDataModule, device: str, overrides: list[str], steps: int, folder: Path
) -> float:
    """Return ratings per second of `recsys-train`'s module, callbacks and trainer."""
    hardware = "gpu" if device == "cuda" else "cpu"
    cfg = compose(
        *overrides,
        "data=synthetic",
        f"hardware={hardware}",
        "schedule.cycle_epochs=1",
        "logger=none",
    )
    data.batch_size = cfg.batch_size
    per_epoch = -(-len(data.split.train) // cfg.batch_size)
    cfg.max_epochs = -(-steps // per_epoch)  # an epoch of large batches can be shorter than the warm-up
    module, clock = build_module(cfg, data), Throughput()
    trainer = build_trainer(cfg, folder, [*build_callbacks(cfg, folder, data, module), clock])
    trainer.limit_train_batches, trainer.limit_val_batches = min(steps, per_epoch), 0
    trainer.fit(module, data)
    return clock.ratings_per_second


def stock_lightning(columns: Batch, size: int, steps: int, device: str, folder: Path) -> float:
    """Return ratings per second of a Trainer at its defaults with a DataLoader."""
    clock = Throughput()

    class Count(pl.Callback):
        def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, index: int) -> None:
            clock.on_train_batch_start(trainer, module, Batch(*batch), index)

        def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, index: int) -> None:
            clock.on_train_batch_end(trainer, module, outputs, Batch(*batch), index)

    accelerator = "gpu" if device == "cuda" else "cpu"
    trainer = pl.Trainer(
        accelerator=accelerator,
        devices=1,
        max_epochs=-(-steps * size // len(columns.ratings)),
        limit_train_batches=min(steps, -(-len(columns.ratings) // size)),
        callbacks=[Count()],
        default_root_dir=folder,
        enable_progress_bar=False,
        logger=False,
        enable_model_summary=False,
    )
    trainer.fit(PlainModule(), stock_loader(Batch(*(column.cpu() for column in columns)), size))
    return clock.ratings_per_second


def device_loop(columns: Batch, size: int, steps: int, device: str, is_graph: bool) -> float:
    """Return ratings per second of a loop written by hand: batches on the device, fused Adam; optionally as a graph."""
    network = PlainModule().to(device)
    optimizer = Adam(network.parameters(), lr=1e-3, fused=True, capturable=is_graph)

    def step(users: Tensor, items: Tensor, values: Tensor) -> None:
        loss = torch.nn.functional.mse_loss(network(users, items), values)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    order = torch.randperm(len(columns.ratings), device=device)[: steps * size]
    shuffled = [column[order] for column in columns]
    inputs = [column[:size].clone() for column in shuffled]
    launch: Callable[[], Any] = partial(step, *inputs)
    for _ in range(WARM_UP_STEPS):
        launch()
    if is_graph:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            launch()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            launch()
        launch = graph.replay
    starts = list(range(0, len(order) - size + 1, size))
    starts = (starts * (-(-steps // len(starts))))[:steps]  # several epochs of large batches
    synchronise(device)
    begin = time.perf_counter()
    for start in starts:
        for column, source in zip(inputs, shuffled, strict=True):
            column.copy_(source[start : start + size])
        launch()
    synchronise(device)
    return len(starts) * size / (time.perf_counter() - begin)


def article_network(device: str, folder: Path, is_tiny: bool) -> Iterator[Row]:
    """The article's network: common loops and recsys, at two batch sizes."""
    data = ratings("tiny" if is_tiny else "ml-1m")
    columns = to_tensors(data.dataset, data.split.train, device)
    for size in (500, 1000) if is_tiny else (2_000, 65_536):
        steps = 15 if is_tiny else min(300, 20_000_000 // size)
        found: dict[str, list[float]] = {}
        for _ in range(TIMES[device]):
            for name, measure in _rows(data, columns, size, steps, device, folder).items():
                found.setdefault(name, []).append(measure())
        by_hand = median(found["loop by hand"])
        for name, speeds in found.items():
            speed = median(speeds)
            ratios = f"{speed / by_hand:.2f} x loop by hand"
            if STOCK in found:
                ratios += f", {speed / median(found[STOCK]):.1f} x stock"
            yield Row(f"article network, batch {size:,}: {name}, ratings/s", speed, ratios)


def _rows(
    data: MovieLensDataModule, columns: Batch, size: int, steps: int, device: str, folder: Path
) -> dict[str, Callable[[], float]]:
    """Return a measurement for each row; stock Lightning needs a minute for large batches, so it is left out there."""
    more = steps + 2 * WARM_UP_STEPS
    rows: dict[str, Callable[[], float]] = {
        "loop by hand": partial(device_loop, columns, size, steps, device, is_graph=False)
    }
    if size < 10_000:
        rows[STOCK] = partial(stock_lightning, columns, size, WARM_UP_STEPS + min(steps, 60), device, folder)
    if device == "cuda":
        rows["loop by hand, CUDA graph"] = partial(device_loop, columns, size, steps, device, is_graph=True)
    for name, overrides in VARIANTS.items():
        chosen = [*ARTICLE, *overrides, f"batch_size={size}"]
        rows[f"recsys, {name}"] = partial(recsys_speed, data, device, chosen, more, folder)
    return rows


def compiled_article_network(device: str, folder: Path, is_tiny: bool) -> Iterator[Row]:
    """The article's network, compiled: half a minute each, most of it for the compiler."""
    data = ratings("tiny" if is_tiny else "ml-1m")
    size, steps = (500, 15) if is_tiny else (2_000, 300)
    for name, overrides in COMPILED.items():
        chosen = [*ARTICLE, *overrides, f"batch_size={size}"]
        speed = recsys_speed(data, device, chosen, steps + 2 * WARM_UP_STEPS, folder)
        yield Row(f"article network, batch {size:,}: recsys, {name}, ratings/s", speed)
