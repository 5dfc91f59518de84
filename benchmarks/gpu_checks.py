"""Stage A of benchmarks/gpu.py: compare the results of a GPU with those of the CPU."""

import copy
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gpu_rows import Row
from torch import Tensor

from recsys import Recommender, compose, train
from recsys.data.batches import Batch
from recsys.data.datamodule import MovieLensDataModule
from recsys.data.sources.synthetic import Synthetic
from recsys.data.splits import RandomSplit
from recsys.experiment.evaluate import evaluate
from recsys.inference.export import run_file
from recsys.models.base import RatingNetwork
from recsys.models.bias import Bias
from recsys.models.embedding_net import EmbeddingNet
from recsys.models.hybrid import HybridNet
from recsys.models.matrix_factorization import MatrixFactorization
from recsys.runs.folder import read_json
from recsys.training.losses import BPR, Joint, Loss, Pointwise, SampledSoftmax
from recsys.training.module import RatingModule
from recsys.training.sparse_adam import SparseAdam

NO_DROPOUT = {"dropouts": 0.0, "embedding_dropout": 0.0}
BOTH = {"history": True, "features": True}
NETWORKS: dict[str, tuple[type[RatingNetwork], dict[str, Any]]] = {
    "bias": (Bias, {}),
    "matrix-factorization": (MatrixFactorization, {}),
    "embedding-net": (EmbeddingNet, NO_DROPOUT),
    "neumf": (HybridNet, NO_DROPOUT),
    "history": (HybridNet, {**NO_DROPOUT, "user": BOTH, "item": BOTH}),
}
LOSSES: dict[str, Loss] = {
    "pointwise": Pointwise(),
    "bpr": BPR(),
    "softmax": SampledSoftmax(),
    "joint": Joint(),
}
OPTIMIZERS: dict[str, Any] = {
    "adamw": partial(torch.optim.AdamW, fused=True),
    "adam": partial(torch.optim.Adam, fused=True),
    "sgd": partial(torch.optim.SGD, momentum=0.9),
    "sparse-adam": SparseAdam,
}
STEPS = 5
SMALL = [
    "data=synthetic",
    "data.ratings=20000",
    "data.users=300",
    "data.items=200",
    "logger=none",
    "snapshots=2",
]
SMALL += ["schedule.cycle_epochs=2", "max_epochs=4", "batch_size=500"]


def fixed_randint(high: int, size: tuple[int, ...], *, dtype: torch.dtype, device: Any, **_: Any) -> Tensor:
    """Replace `torch.randint` in the sampling of negatives: all devices draw the same numbers."""
    generator = torch.Generator().manual_seed(1)
    return RANDINT(high, size, generator=generator, dtype=dtype).to(device)


RANDINT = torch.randint


def step_losses(module: RatingModule, batches: list[Batch], device: str, is_bf16: bool) -> list[float]:
    """Return the losses of some steps on a device, from the module's current weights."""
    module = copy.deepcopy(module).to(device)
    optimizer = module.make_optimizer(list(module.network.parameters()))
    losses = []
    for batch in batches:
        batch = Batch(*(column.to(device) for column in batch))
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=is_bf16):
            loss, penalty = module.losses(batch)
        (loss + penalty).backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    return losses


def steps_are_equal(device: str) -> Iterator[Row]:
    """Compare five steps of every network, head, loss and optimizer with the CPU in float32."""
    data = MovieLensDataModule(Synthetic(ratings=4000, users=80, items=60), RandomSplit(), 500)
    data.setup()
    batches = [batch for batch in data.train_dataloader() if len(batch.ratings) == 500][:STEPS]
    worst = {False: (0.0, ""), True: (0.0, "")}
    count = 0
    torch.randint = fixed_randint  # type: ignore[assignment]
    try:
        for name, (network_class, options) in NETWORKS.items():
            for head in ("linear", "sigmoid", "ordinal"):
                for loss_name, loss in LOSSES.items():
                    for optimizer_name, optimizer in OPTIMIZERS.items():
                        if loss_name == "joint" and network_class is not HybridNet:
                            continue  # the others do not learn which items users choose
                        torch.manual_seed(0)
                        arguments = {**options, **loss.network_arguments}
                        network = network_class.from_data(data, head=head, **arguments)
                        if optimizer_name == "sparse-adam" and name == "history":
                            continue  # the item tables of this network have dense gradients
                        module = RatingModule(network, 1e-2, optimizer, loss=loss)
                        expected = step_losses(module, batches, "cpu", is_bf16=False)
                        for is_bf16 in (False, True):
                            found = step_losses(module, batches, device, is_bf16)
                            difference = float(np.max(np.abs(np.divide(found, expected) - 1)))
                            worst[is_bf16] = max(
                                worst[is_bf16], (difference, f"{name} {head} {loss_name} {optimizer_name}")
                            )
                        count += 1
    finally:
        torch.randint = RANDINT
    for is_bf16, limit in ((False, 1e-4), (True, 1e-2)):
        difference, where = worst[is_bf16]
        kind = "bf16" if is_bf16 else "float32"
        yield Row(
            f"{count} combinations, {STEPS} steps, {kind}: largest relative difference",
            difference,
            where,
            limit,
        )


def full_runs_are_equal(device: str, folder: Path) -> Iterator[Row]:
    """Compare full training runs: CPU, GPU, bfloat16, without CUDA graphs, compiled."""
    data = "ml-100k" if os.environ.get("RECSYS_MIRROR") and device != "cpu" else "synthetic"
    common = ["logger=none", "snapshots=4", "max_epochs=24", "ranking.k=0"]
    common += ["data=ml-100k"] if data == "ml-100k" else [*SMALL, "ranking.k=0"]
    hardware = ["hardware=gpu"] if device == "cuda" else ["hardware=cpu"]
    variants = {
        "cpu": ["hardware=cpu"],
        device: hardware,
        "bf16": [*hardware, "hardware.precision=bf16-mixed"],
        "no CUDA graph": [*hardware, "hardware.cuda_graph=false"],
    }
    if device == "cuda":
        variants["compiled"] = [*hardware, "hardware.compile=true"]
    found: dict[str, float] = {}
    for name, overrides in variants.items():
        run = train(compose(*common, *overrides), folder / f"run-{name.replace(' ', '-')}")
        found[name] = run.metrics["test/rmse"]
        yield Row(f"{data}, default network, {name}: test RMSE", found[name], f"CPU {found['cpu']:.4f}")
    difference = max(found.values()) - min(found.values())
    yield Row("largest difference of test RMSE between these runs", difference, "", 0.004)


def resumed_run_is_equal(device: str, folder: Path) -> Iterator[Row]:
    """Compare a run that was stopped by SIGTERM and resumed with an uninterrupted one."""
    hardware = "hardware=gpu" if device == "cuda" else "hardware=cpu"
    overrides = [*SMALL, hardware, "max_epochs=12", "patience=100"]
    expected = train(compose(*overrides), folder / "whole").metrics
    command = [sys.executable, "-m", "recsys.cli.train", *overrides, f"output_dir={folder / 'cut'}"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (folder / "cut" / "checkpoints" / "last.ckpt").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    code = process.wait()
    if not code:
        raise RuntimeError("not tested, because the run ended before the signal")
    found = train(compose(*overrides), folder / "cut", resume=True).metrics
    differences = [abs(found[name] - value) for name, value in expected.items()]
    yield Row("resumed after SIGTERM: largest difference of a metric", max(differences), "", 0.0)


def sweep_is_equal(device: str, folder: Path) -> Iterator[Row]:
    """Compare four jobs that run at the same time with the same runs alone."""
    hardware = "hardware=gpu" if device == "cuda" else "hardware=cpu"
    command = [sys.executable, "-m", "recsys.cli.train", "-m", *SMALL, hardware, "seed=1,2,3,4"]
    options = ["hydra.launcher.jobs_per_gpu=4", f"output_dir={folder / 'sweep'}"]
    subprocess.run([*command, *options], check=True, capture_output=True)
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // (4 if device == "cuda" else os.cpu_count() or 1)))
    differences = []
    for job, seed in ((0, 1), (3, 4)):
        alone = train(compose(*SMALL, hardware, f"seed={seed}"), folder / f"alone-{seed}").metrics
        together = read_json(folder / "sweep" / str(job) / "result.json")["metrics"]
        differences += [abs(together[name] - value) for name, value in alone.items()]
    torch.set_num_threads(threads)
    yield Row("jobs of a sweep and the same runs alone: largest difference", max(differences), "", 0.0)


def answers_are_equal(device: str, folder: Path) -> Iterator[Row]:
    """Evaluate, recommend, fold in and export on the device, compared with the CPU."""
    hardware = "hardware=gpu" if device == "cuda" else "hardware=cpu"
    run = train(compose(*SMALL, hardware), folder / "answers").folder
    rows = [evaluate(str(run), device=where)[-1]["test/rmse"] for where in (device, "cpu")]
    yield Row("evaluate: difference of test RMSE", abs(rows[0] - rows[1]), "", 1e-4)
    on_device, on_cpu = (Recommender.load(run, device=where) for where in (device, "cpu"))
    users = on_cpu.user_ids.ids[:100]
    top = [one.recommend(users, k=10)["prediction"].to_numpy() for one in (on_device, on_cpu)]
    yield Row("recommend: largest difference of a prediction", float(np.abs(top[0] - top[1]).max()), "", 1e-3)
    new = [one.fold_in({1: 5.0, 2: 1.0, 3: 4.0}).recommend(k=10)["prediction"] for one in (on_device, on_cpu)]
    yield Row("fold-in: largest difference of a prediction", float(np.abs(new[0] - new[1]).max()), "", 1e-2)
    pairs = torch.arange(50), torch.arange(50)
    exported = run_file(on_device.export(folder / "network.pt2"), *pairs)
    expected = on_cpu.scorer.predict(*pairs).numpy()
    yield Row("export: largest difference", float(np.abs(exported - expected).max()), "", 1e-4)


def ddp_works(device: str, folder: Path) -> Iterator[Row]:
    """Train with DDP in a single process: NCCL on a GPU, gloo on a CPU."""
    accelerator = "gpu" if device == "cuda" else "cpu"
    hardware = ["hardware=ddp", f"hardware.accelerator={accelerator}", "hardware.devices=1"]
    command = [sys.executable, "-m", "recsys.cli.train", *SMALL, *hardware, f"output_dir={folder / 'ddp'}"]
    subprocess.run(command, check=True, capture_output=True)
    found = read_json(folder / "ddp" / "result.json")["metrics"]["test/rmse"]
    expected = train(compose(*SMALL, f"hardware={accelerator}"), folder / "single").metrics["test/rmse"]
    yield Row("DDP with one process: difference of test RMSE", abs(found - expected), f"{found:.4f}", 0.004)
