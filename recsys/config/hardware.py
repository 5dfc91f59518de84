"""Constraints on the hardware.* keys: which of them fit together, and what this machine has."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, get_args

from omegaconf import DictConfig

from recsys.errors import ConfigError
from recsys.runs.processes import external_launcher
from recsys.types import Accelerator

if TYPE_CHECKING:
    import torch

Config = dict[str, Any]


def hardware_errors(hardware: Config, on_this_machine: bool = True) -> Iterator[str]:
    """Yield the errors of hardware.* keys whose individual values are valid.

    Args:
        hardware: the keys.
        on_this_machine: whether training starts in this process. A job of a cluster is checked where it runs.
    """
    yield from _strategy_errors(hardware)
    if on_this_machine:
        yield from _device_errors(hardware)
        yield from _process_errors(hardware)


def device_for(hardware: DictConfig) -> "torch.device":
    """Return the device of a command that does not train: it runs in one process, and computes in float32.

    Raises:
        ConfigError: hardware.accelerator is not valid, this machine does not have it, or the keys ask for several
            devices.
    """
    from recsys.models.device import device_of

    if hardware.accelerator not in get_args(Accelerator):
        allowed = ", ".join(get_args(Accelerator))
        raise ConfigError(f"hardware.accelerator={hardware.accelerator}: must be one of {allowed}")
    for key in ("devices", "num_nodes"):
        if hardware[key] != 1:
            raise ConfigError(
                f"hardware.{key}={hardware[key]}: only training uses several devices; use hardware=auto"
            )
    return device_of(hardware.accelerator)


def runs_on_gpu(hardware: Config) -> bool:
    """Return whether a run with these keys uses CUDA GPUs on this machine."""
    import torch

    accelerator = hardware["accelerator"]
    return accelerator == "gpu" or (accelerator == "auto" and torch.cuda.is_available())


def _strategy_errors(hardware: Config) -> Iterator[str]:
    if hardware["strategy"] == "auto":
        for key, name in (("devices", "devices"), ("num_nodes", "machines")):
            if hardware[key] > 1:
                yield (
                    f"hardware.{key}={hardware[key]}: several {name} need hardware.strategy=ddp (hardware=ddp)"
                )
    if hardware["precision"] == "16-mixed" and hardware["accelerator"] in ("cpu", "mps"):
        yield "hardware.precision=16-mixed: needs a GPU; bf16-mixed runs everywhere"


def _device_errors(hardware: Config) -> Iterator[str]:
    """Yield errors where this machine lacks the devices."""
    import torch

    from recsys.models.device import missing_device

    devices, on_gpu = hardware["devices"], runs_on_gpu(hardware)
    if problem := missing_device(hardware["accelerator"]):
        yield problem
    elif on_gpu and devices > (n_gpus := torch.cuda.device_count()):
        use = f"hardware.devices={n_gpus}" if n_gpus else "hardware=cpu"
        yield f"hardware.devices={devices}: torch finds {n_gpus} GPU(s); use {use}"
    elif not on_gpu and devices > (n_cores := os.cpu_count() or 1):  # each would be a process
        yield f"hardware.devices={devices}: this machine has {n_cores} CPU core(s); use hardware.devices={n_cores}"
    if hardware["precision"] == "16-mixed" and hardware["accelerator"] == "auto" and not on_gpu:
        yield "hardware.precision=16-mixed: needs a GPU; bf16-mixed runs everywhere"


def _process_errors(hardware: Config) -> Iterator[str]:
    """Yield errors where another number of processes was started than the keys ask for."""
    nodes, devices, started = hardware["num_nodes"], hardware["devices"], external_launcher()
    needed = nodes * devices
    if nodes > 1 and started is None and hardware["strategy"] != "auto":
        yield (
            f"hardware.num_nodes={nodes}: nothing has started the processes on the other machines; use srun, or run on "
            f"each machine: torchrun --nnodes={nodes} --nproc-per-node={devices} --rdzv-backend=c10d "
            "--rdzv-endpoint=<first machine>:29500 --no-python recsys-train ..."
        )
    elif started is not None and started[1] != needed and (started[1] > 1 or nodes > 1):
        yield (
            f"hardware.num_nodes={nodes} and hardware.devices={devices}: {started[0]} started "
            f"{started[1]} process(es), {needed} needed; change one of the three"
        )
