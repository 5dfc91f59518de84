"""Check the state of training in a checkpoint before a run is resumed from it.

Fused optimizers do not check the shapes of their state: with a wrong one, they read and write out of bounds.
"""

import math
from typing import Any

import torch
from torch import Tensor

from recsys.runs.torch_file import check_tensor
from recsys.training.module import RatingModule


def check_training_state(content: dict[str, Any], module: RatingModule, max_epochs: int) -> None:
    """Check the states of the optimizer and of the schedule against those of a new run.

    Args:
        content: the content of the checkpoint, which may be untrusted.
        module: the module of the run.
        max_epochs: the number of epochs of the run.

    Raises:
        ValueError: a state is missing, or a value has another type than in a new run, or, for a fused optimizer,
            another shape.
        LookupError: a key is missing, or the optimizer has a state of an unknown parameter.
    """
    parameters = list(module.network.parameters())
    optimizer = module.make_optimizer(parameters)
    scheduler = module.schedule(optimizer, 1, max_epochs)
    (state,), (schedule,) = content["optimizer_states"], content["lr_schedulers"]
    _check_like(optimizer.state_dict()["param_groups"], state["param_groups"], "optimizer")
    _check_like(scheduler.state_dict(), schedule, "schedule")
    is_fused = any(group.get("fused") for group in [*optimizer.param_groups, *state["param_groups"]])
    for index, values in state["state"].items():
        parameter = parameters[index]
        for name, value in values.items():
            if not isinstance(value, Tensor):
                continue
            if value.ndim == 0:
                check_tensor(value, (), (torch.float32,))
            elif is_fused:
                check_tensor(value, tuple(parameter.shape), (parameter.dtype,))
            else:
                check_tensor(value, (None,) * value.ndim, (value.dtype,))
            if name == "step" and value.ndim:
                raise ValueError("optimizer: step is not a scalar")


def _check_like(expected: Any, found: Any, key: str) -> None:
    """Check that `found` has no keys that `expected` lacks, and the same types and lengths; None matches any value.

    Raises:
        ValueError: it does not; the message has the key.
    """
    if expected is None or found is None:
        return
    if isinstance(expected, dict) and isinstance(found, dict):
        for name, value in found.items():
            if name not in expected:
                raise ValueError(f"{key}: unexpected key {name!r:.80}")
            _check_like(expected[name], value, f"{key}.{name}")
    elif isinstance(expected, list | tuple) and isinstance(found, list | tuple):
        if len(expected) != len(found):
            raise ValueError(f"{key}: {len(found)} values instead of {len(expected)}")
        for index, pair in enumerate(zip(expected, found, strict=True)):
            _check_like(*pair, f"{key}[{index}]")
    elif isinstance(expected, Tensor):
        check_tensor(found, tuple(expected.shape), (expected.dtype,))
    elif isinstance(expected, bool) or isinstance(found, bool) or isinstance(expected, str):
        if type(expected) is not type(found):
            raise ValueError(f"{key}: {type(found).__name__} instead of {type(expected).__name__}")
    elif isinstance(expected, int | float):
        if not isinstance(found, int | float) or not math.isfinite(found):
            raise ValueError(f"{key}: {found!r:.80} is not a finite number")
    elif type(expected) is not type(found):
        raise ValueError(f"{key}: {type(found).__name__} instead of {type(expected).__name__}")
