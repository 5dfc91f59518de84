"""The device that hardware.accelerator names."""

import torch

from recsys.errors import ConfigError
from recsys.types import Accelerator


def missing_device(accelerator: str) -> str | None:
    """Return why an accelerator cannot be used on this machine, or None if it can."""
    if accelerator == "gpu" and not torch.cuda.is_available():
        return "hardware.accelerator=gpu: torch finds no GPU; use hardware=auto"
    if accelerator == "mps" and not torch.backends.mps.is_available():
        return "hardware.accelerator=mps: torch finds no Apple GPU; use hardware=auto"
    return None


def device_of(accelerator: Accelerator) -> torch.device:
    """Return the first device of an accelerator; of "auto", a CUDA GPU, else an Apple GPU, else the CPU.

    Raises:
        ConfigError: this machine has no such device.
    """
    if problem := missing_device(accelerator):
        raise ConfigError(problem)
    if accelerator == "gpu" or (accelerator == "auto" and torch.cuda.is_available()):
        return torch.device("cuda", torch.cuda.current_device())
    if accelerator == "mps" or (accelerator == "auto" and torch.backends.mps.is_available()):
        return torch.device("mps")
    return torch.device("cpu")
