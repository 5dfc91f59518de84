"""Check the state of training in a checkpoint before a run is resumed from it.

Fused optimizers do not check the shapes of their state: with a wrong one, they read and write out of bounds.
"""

import math
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, WeightAveraging
from torch import Tensor

from recsys.runs.torch_file import check_plain, check_tensor
from recsys.training.callbacks.throughput import Throughput
from recsys.training.module import RatingModule

CHECKED = (
    EarlyStopping,
    Throughput,
    WeightAveraging,
)  # callbacks with a state; checkpoint callbacks check their own


def check_training_state(content: dict[str, Any], module: RatingModule, trainer: pl.Trainer) -> None:
    """Check the states of optimizer, schedule, loops and callbacks against those of a new run.

    Args:
        content: the content of the checkpoint, which may be untrusted.
        module: the module of the run.
        trainer: the Trainer of the run, before training.

    Raises:
        ValueError: a state is missing, or a value has another type than in a new run, or, for a fused optimizer,
            another shape.
        LookupError: a key is missing, or the optimizer has a state of an unknown parameter.
    """
    parameters = list(module.network.parameters())
    optimizer = module.make_optimizer(parameters)
    assert trainer.max_epochs is not None
    scheduler = module.schedule(optimizer, 1, trainer.max_epochs)
    (state,), (schedule,) = content["optimizer_states"], content["lr_schedulers"]
    _check_like(optimizer.state_dict()["param_groups"], state["param_groups"], "optimizer")
    _check_like(scheduler.state_dict(), schedule, "schedule")
    _check_like(trainer.fit_loop.state_dict(), content["loops"]["fit_loop"], "loops")
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, CHECKED) and callback.state_key in content["callbacks"]:
            _check_like(callback.state_dict(), content["callbacks"][callback.state_key], callback.state_key)
    is_fused = any(group.get("fused") for group in [*optimizer.param_groups, *state["param_groups"]])
    for index, values in state["state"].items():
        parameter = parameters[index]
        for name, value in values.items():
            if not isinstance(value, Tensor):
                if value is None or name == "step":
                    continue
                raise ValueError(f"optimizer: {name} is a {type(value).__name__}, not a tensor")
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
    if expected == {} and isinstance(found, dict):
        check_plain(found)
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
    elif (
        isinstance(expected, Tensor) and not expected.isfinite().all()
    ):  # a best value before the first epoch
        if not isinstance(found, Tensor) or found.shape != expected.shape or not found.is_floating_point():
            raise ValueError(f"{key}: not a number")
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
