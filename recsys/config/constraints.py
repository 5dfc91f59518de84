"""Constraints on combinations of config values, and on the available hardware.

`recsys.config.validate` checks each value first, then these constraints. They use the instantiated objects, not names
in the configuration: for example `loss.predicts_ratings`, `split.check` and `network.compile_obstacle`. A constraint
yields one message per error: the key, its value, what is allowed and what to do.
"""

import inspect
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydra.utils import get_class, instantiate

from recsys.errors import first_line
from recsys.runs.processes import external_launcher

if TYPE_CHECKING:
    import torch

    from recsys.data.sources.base import Source
    from recsys.data.splits import SplitMethod
    from recsys.models.base import RatingNetwork
    from recsys.training.losses import Loss
    from recsys.training.schedules import Schedule

Config = dict[str, Any]


@dataclass
class Objects:
    """What a configuration describes, built without data."""

    source: "Source"
    split: "SplitMethod"
    loss: "Loss"
    schedule: "Schedule"
    optimizer: "torch.optim.Optimizer"
    network: "RatingNetwork"


def constraint_errors(cfg: Config) -> Iterator[str]:
    """Yield the errors of a training configuration whose individual values are valid."""
    objects: dict[str, Any] = {}
    builders: tuple[tuple[str, str, Callable[[Config], Any]], ...] = (
        ("source", "data", _build),
        ("split", "split", _build),
        ("loss", "loss", _build),
        ("schedule", "schedule", _build),
        ("optimizer", "optimizer", _build_optimizer),
        ("network", "model", _build_network),
    )
    broken = False
    for name, key, build in builders:
        try:
            objects[name] = build(cfg[key])
        except Exception as error:  # user-defined constructors can raise anything
            broken = True
            yield f"{key}: {first_line(error.__cause__ or error)}"  # Hydra wraps the constructor's error
    if not broken:
        for constraint in CONSTRAINTS:
            yield from constraint(cfg, Objects(**objects))


def data_errors(cfg: Config) -> Iterator[str]:
    """Yield the errors of a data source whose individual values are valid."""
    yield from _build(cfg).check()


def _build(node: Config) -> Any:
    return instantiate(node, _convert_="all")


def _build_optimizer(node: Config) -> Any:
    import torch

    return instantiate(node, _partial_=True, _convert_="all")([torch.nn.Parameter(torch.zeros(1))])


def _build_network(node: Config) -> Any:
    """Return a network of two users and two items, which takes no memory."""
    import torch

    facts = {
        "n_users": 2,
        "n_items": 2,
        "scale": [1.0, 5.0],
        "mean": 3.0,
        "rating_values": [1.0, 2.0, 3.0, 4.0, 5.0],
        "n_item_features": 1,
        "n_user_features": 1,
    }
    options = dict(node)
    network_class = get_class(options.pop("_target_"))
    accepted = inspect.signature(network_class).parameters
    with torch.device("meta"):
        return network_class(**{name: fact for name, fact in facts.items() if name in accepted} | options)


def _runs_on_gpu(hardware: Config) -> bool:
    import torch

    accelerator = hardware["accelerator"]
    return accelerator == "gpu" or (accelerator == "auto" and torch.cuda.is_available())


def _hardware_exists(cfg: Config, objects: Objects) -> Iterator[str]:
    import torch

    hardware = cfg["hardware"]
    accelerator, devices, on_gpu = hardware["accelerator"], hardware["devices"], _runs_on_gpu(hardware)
    if accelerator == "gpu" and not torch.cuda.is_available():
        yield "hardware.accelerator=gpu: torch finds no GPU; use hardware=auto"
    elif on_gpu and devices > (n_gpus := torch.cuda.device_count()):
        use = f"hardware.devices={n_gpus}" if n_gpus else "hardware=cpu"
        yield f"hardware.devices={devices}: torch finds {n_gpus} GPU(s); use {use}"
    elif not on_gpu and devices > (n_cores := os.cpu_count() or 1):  # each would be a process
        yield f"hardware.devices={devices}: this machine has {n_cores} CPU core(s); use hardware.devices={n_cores}"
    if accelerator == "mps" and not torch.backends.mps.is_available():
        yield "hardware.accelerator=mps: torch finds no Apple GPU; use hardware=auto"
    if hardware["precision"] == "16-mixed" and not on_gpu:
        yield "hardware.precision=16-mixed: needs a GPU; bf16-mixed runs everywhere"
    if devices > 1 and hardware["strategy"] == "auto":
        yield f"hardware.devices={devices}: several devices need hardware.strategy=ddp (hardware=ddp)"


def _processes_match(cfg: Config, objects: Objects) -> Iterator[str]:
    hardware, started = cfg["hardware"], external_launcher()
    nodes, needed = hardware["num_nodes"], hardware["num_nodes"] * hardware["devices"]
    if nodes > 1 and hardware["strategy"] == "auto":
        yield f"hardware.num_nodes={nodes}: several machines need hardware.strategy=ddp (hardware=ddp)"
    elif nodes > 1 and started is None:
        yield (
            f"hardware.num_nodes={nodes}: nothing has started the processes on the other machines; use srun, or run on "
            f"each machine: torchrun --nnodes={nodes} --nproc-per-node={hardware['devices']} --rdzv-backend=c10d "
            "--rdzv-endpoint=<first machine>:29500 --no-python recsys-train ..."
        )
    elif started is not None and started[1] != needed and (started[1] > 1 or nodes > 1):
        yield (
            f"hardware.num_nodes={nodes} and hardware.devices={hardware['devices']}: {started[0]} started "
            f"{started[1]} process(es), {needed} needed; change one of the three"
        )


def _sparse_gradients_are_supported(cfg: Config, objects: Objects) -> Iterator[str]:
    if not getattr(objects.optimizer, "sparse_gradients", False):
        return
    if cfg["gradient_clip"] > 0:
        yield (
            f"gradient_clip={cfg['gradient_clip']}: not possible with sparse gradients (optimizer=sparse-adam); "
            "use gradient_clip=0, or optimizer=adam"
        )
    if cfg["hardware"]["strategy"] == "ddp" and _runs_on_gpu(cfg["hardware"]):
        yield (
            "hardware.strategy=ddp: GPUs (NCCL) cannot sum sparse gradients (optimizer=sparse-adam); "
            "use optimizer=adam, or hardware.accelerator=cpu"
        )


def _split_is_possible(cfg: Config, objects: Objects) -> Iterator[str]:
    yield from objects.source.check()
    yield from objects.split.check(getattr(objects.source, "name", None))


def _ranking_can_be_measured(cfg: Config, objects: Objects) -> Iterator[str]:
    ranking = cfg["ranking"]
    if not objects.loss.predicts_ratings and ranking["k"] == 0:
        yield (
            f"ranking.k=0: the loss {_name(objects.loss)} selects weights by {objects.loss.objective(10).name}; "
            "use ranking.k=10, or loss=pointwise"
        )
    scale, threshold = getattr(objects.source, "scale", None), ranking["threshold"]
    if scale and threshold is not None and not scale[0] <= threshold <= scale[1]:
        yield f"ranking.threshold={threshold}: must be between {scale[0]} and {scale[1]} (data.scale)"


def _can_be_compiled(cfg: Config, objects: Objects) -> Iterator[str]:
    if not cfg["hardware"]["compile"]:
        return
    if not objects.loss.compilable:
        yield (
            f"hardware.compile=true: the loss {_name(objects.loss)} has batches of varying size, and every new "
            "size would be compiled; use hardware.compile=false"
        )
    if obstacle := objects.network.compile_obstacle:
        yield (
            f"hardware.compile=true: not possible with model.{obstacle}; use hardware.compile=false, or "
            "model=embedding-net"
        )


def _one_kind_of_average(cfg: Config, objects: Objects) -> Iterator[str]:
    if not cfg["averaging"]:
        return
    if not objects.loss.predicts_ratings:
        yield (
            f"averaging: not possible with the ranking loss {_name(objects.loss)}; use averaging=none, or "
            "loss=pointwise"
        )
    if cfg["snapshots"] > 1:
        yield f"snapshots={cfg['snapshots']}: not possible with averaging; use averaging=none, or snapshots=1"


def _run_is_resumed(cfg: Config, objects: Objects) -> Iterator[str]:
    if cfg["run"] is not None and not cfg["resume"]:
        yield f"run={cfg['run']}: requires resume=true; for a new run, use output_dir=<folder>"


def _name(component: object) -> str:
    return type(component).__name__


Constraint = Callable[[Config, Objects], Iterator[str]]
CONSTRAINTS: tuple[Constraint, ...] = (
    _hardware_exists,
    _processes_match,
    _sparse_gradients_are_supported,
    _split_is_possible,
    _ranking_can_be_measured,
    _can_be_compiled,
    _one_kind_of_average,
    _run_is_resumed,
)
