"""The default network and sweeps in benchmarks/gpu.py: speed, memory, launches, and what large data costs."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import torch
from gpu_data import SHAPES
from gpu_loops import TIMES, VARIANTS, ratings, recsys_speed, synchronise
from gpu_rows import Row

from recsys import compose
from recsys.data.batches import Batches, Shuffle, to_tensors
from recsys.data.datamodule import MovieLensDataModule
from recsys.models.scoring import top_items
from recsys.runs.torch_file import write_torch_file
from recsys.training.build import build_module
from recsys.training.callbacks.throughput import WARM_UP_STEPS


def timed(work: Callable[[], Any], device: str) -> float:
    """Return the median seconds of a function."""
    seconds = []
    for _ in range(TIMES[device]):
        synchronise(device)
        begin = time.perf_counter()
        work()
        synchronise(device)
        seconds.append(time.perf_counter() - begin)
    return median(seconds)


def default_network(device: str, folder: Path, is_tiny: bool) -> Iterator[Row]:
    """The default network with histories that fit into a matrix."""
    for shape in ("tiny",) if is_tiny else ("ml-100k", "ml-1m"):
        yield from default_on(ratings(shape), shape, device, folder)


def large_data(device: str, folder: Path, is_tiny: bool) -> Iterator[Row]:
    """The default network with histories that do not fit into a matrix, and with a large catalogue."""
    shape = "tiny" if is_tiny else "ml-25m"
    data = ratings(shape)
    yield from default_on(data, shape, device, folder)
    yield from large_run(data, device, shape, folder)


def default_on(data: MovieLensDataModule, shape: str, device: str, folder: Path) -> Iterator[Row]:
    """The default network on data of a shape: speed, memory, launches and kernels."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    names = ["float32"]
    if device == "cuda" and shape != "ml-25m":  # whose steps cannot be captured
        names.append("no CUDA graph")
    for name in names:
        size = 300 if shape == "tiny" else 1000
        overrides = [*VARIANTS[name], f"batch_size={size}", "snapshots=1"]
        speed = recsys_speed(data, device, overrides, 25 if shape == "tiny" else 60 + WARM_UP_STEPS, folder)
        yield Row(f"default network, {shape}, batch {size}: {name}, ratings/s", speed)
    if device == "cuda":
        yield Row(f"default network, {shape}: peak memory, GB", torch.cuda.max_memory_allocated() / 1e9)
    yield from step_profile(data, device, shape)


def step_profile(data: MovieLensDataModule, device: str, shape: str) -> Iterator[Row]:
    """Launches of a step, and the kernels that take longest."""
    module = build_module(compose("data=synthetic"), data).to(device).train()
    optimizer = module.make_optimizer(list(module.network.parameters()))
    columns = to_tensors(data.dataset, data.split.train, device)
    batches = iter(
        Batches(columns, 300 if shape == "tiny" else 1000, Shuffle(len(columns.ratings), 0, device))
    )

    def step() -> None:
        loss = module.training_step(next(batches), 0)
        assert loss is not None
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    for _ in range(3):
        step()
    activities = [torch.profiler.ProfilerActivity.CPU]
    if device == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as profile:
        step()
        synchronise(device)
    events = profile.key_averages()
    if device == "cuda":
        launches = sum(event.count for event in events if "LaunchKernel" in event.key)
        yield Row(f"default network, {shape}: launches per step", launches)
    kind = "self_device_time_total" if device == "cuda" else "self_cpu_time_total"
    for event in sorted(events, key=lambda event: -getattr(event, kind))[:3]:
        yield Row(f"default network, {shape}: microseconds in {event.key[:36]}", getattr(event, kind))


def large_run(data: MovieLensDataModule, device: str, shape: str, folder: Path) -> Iterator[Row]:
    """Seconds of a validation, of a checkpoint and of ranking all users."""
    module = build_module(compose("data=synthetic"), data).to(device)
    yield Row(
        f"default network, {shape}: making its scorer, s", timed(lambda: module.network.scorer(), device)
    )
    scorer = module.network.scorer()
    columns = to_tensors(data.dataset, data.split.val, device)
    with torch.no_grad():
        seconds = timed(lambda: [scorer.predict(*batch[:2]) for batch in Batches(columns, 16_384)], device)
    yield Row(f"default network, {shape}: predicting {len(columns.ratings):,} validation ratings, s", seconds)
    seconds = timed(lambda: write_torch_file(module.state_dict(), folder / "state.ckpt"), device)
    yield Row(f"default network, {shape}: writing its weights, s", seconds)
    users = range(scorer.n_users)
    synchronise(device)
    begin = time.perf_counter()
    top_items(scorer, list(users), 10)
    yield Row(f"default network, {shape}: top ten of all users, s", time.perf_counter() - begin)


def sweep(device: str, folder: Path, is_tiny: bool) -> Iterator[Row]:
    """Jobs per hour of a sweep with one and with several jobs per GPU, and on the CPU."""
    shape = SHAPES["tiny" if is_tiny else "ml-100k"]
    network = [
        "experiment=embedding-net",
        "data=synthetic",
        "data.step=0",
        "max_epochs=2" if is_tiny else "max_epochs=10",
    ]
    network += [f"data.{key}={n}" for key, n in zip(("users", "items", "ratings"), shape, strict=True)]
    variants = {"CPU": (2 if is_tiny else 16, ["hardware=cpu"])}
    if device == "cuda":
        # One at a time is slow, so fewer jobs are measured.
        variants = {
            f"{n} jobs per GPU": (jobs, ["hardware=gpu", f"hydra.launcher.jobs_per_gpu={n}"])
            for n, jobs in (("null", 16), (1, 3))
        } | variants
    for name, (jobs, options) in variants.items():
        seeds = f"seed=range({jobs})"
        command = [sys.executable, "-m", "recsys.cli.train", "-m", *network, *options, seeds, "logger=none"]
        begin = time.perf_counter()
        done = subprocess.run(
            [*command, f"output_dir={folder / name.replace(' ', '-')}"], capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(done.stderr[-500:])
        speed = jobs / (time.perf_counter() - begin) * 3600
        yield Row(f"sweep of {jobs} jobs, {name}: jobs per hour", speed, f"{os.cpu_count()} cores")
