"""Check the state of training in a checkpoint before a run is resumed from it.

Fused optimizers do not check the shapes of their state: a wrong shape makes them read and write out of bounds. A wrong
count or setting would cause an error only during training, or silently wrong results.
"""

import math
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, WeightAveraging
from torch import Tensor
from torch.optim import lr_scheduler

from recsys.errors import type_of
from recsys.runs.torch_file import check_plain, check_tensor
from recsys.training.callbacks.throughput import Throughput
from recsys.training.module import RatingModule

# Callbacks whose state is checked here; checkpoint callbacks check their own state.
CHECKED_CALLBACKS = (EarlyStopping, Throughput, WeightAveraging)

# In the state of these schedulers, only the values of these keys change during training.
CHECKED_SCHEDULERS = (
    lr_scheduler.CosineAnnealingWarmRestarts,
    lr_scheduler.OneCycleLR,
    lr_scheduler.CyclicLR,
    lr_scheduler.ConstantLR,
)
CHANGING_KEYS = {
    "T_cur",
    "T_i",
    "last_epoch",
    "_step_count",
    "_last_lr",
    "_get_lr_called_within_step",
    "_is_initial",
}

MODULE_STATE = {"batches": {"batches": 0}, "epoch_loss": (torch.zeros(()), 0)}  # of `RatingModule`
MAX_COUNT = 2**62  # the largest allowed count: counting further does not overflow int64


def check_training_state(
    content: dict[str, Any], module: RatingModule, trainer: pl.Trainer, batches: int
) -> None:
    """Check the states of the module, optimizer, schedule, loops and callbacks against those of a new run.

    Args:
        content: the content of the checkpoint, which may be untrusted.
        module: the module of the run.
        trainer: the Trainer of the run, before training.
        batches: number of batches in an epoch.

    Raises:
        ValueError: a state is missing, or belongs to an unknown parameter; a weight is not finite; the type of a value
            or a setting differs from that of a new run; a count is negative or exceeds the length of the run; a tensor
            of a fused optimizer has the wrong shape.
        LookupError: a key is missing.
        RuntimeError, TypeError: a state is malformed in another way.
    """
    parameters = list(module.network.parameters())
    optimizer = module.make_optimizer(parameters)
    assert trainer.max_epochs is not None
    steps_per_epoch = math.ceil(batches / trainer.accumulate_grad_batches)
    scheduler = module.schedule(optimizer, steps_per_epoch, trainer.max_epochs)
    (state,), (schedule,) = content["optimizer_states"], content["lr_schedulers"]
    groups, loops = optimizer.state_dict()["param_groups"], content["loops"]["fit_loop"]
    _check_structure(groups, state["param_groups"], "optimizer")
    settings = scheduler.state_dict()
    _check_structure(settings, schedule, "schedule")
    if type(scheduler) in CHECKED_SCHEDULERS:  # others may change any setting
        _check_equal(settings, schedule, CHANGING_KEYS, "schedule")
        changing = {"lr", "betas", "momentum"} if settings.get("cycle_momentum") else {"lr"}
        for group, found in zip(groups, state["param_groups"], strict=True):
            _check_equal(group, found, changing, "optimizer")
    _check_structure(trainer.fit_loop.state_dict(), loops, "loops")
    module_state = {key: content[key] for key in MODULE_STATE}
    _check_structure(MODULE_STATE, module_state, "module")
    _check_structure(module.state_dict(), content["state_dict"], "state_dict")
    steps = _check_progress(content, loops, schedule, trainer.max_epochs, steps_per_epoch, batches)
    _check_generators(content["device"], content["generators"], trainer.world_size)
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, CHECKED_CALLBACKS):
            saved = content["callbacks"][callback.state_key]
            _check_structure(callback.state_dict(), saved, callback.state_key)
        if isinstance(callback, WeightAveraging):
            _check_averaging(content, saved, steps)
    is_fused = any(group.get("fused") for group in optimizer.param_groups)
    names = {ndim: _state_names(module, ndim) for ndim in {parameter.ndim for parameter in parameters}}
    if steps and any(names.values()) and not state["state"]:
        raise ValueError("optimizer: the states of the parameters are missing")
    for index, values in state["state"].items():
        if type(index) is not int or not 0 <= index < len(parameters):
            raise ValueError(f"optimizer: {index!r:.80} is not the index of a parameter")
        parameter = parameters[index]
        _check_parameter_state(values, parameter, is_fused, names[parameter.ndim])


def batches_per_epoch(trainer: pl.Trainer, batches: int) -> int:
    """Return the number of training batches in an epoch of a Trainer.

    Args:
        trainer: the Trainer; Lightning sets its limit_train_batches if overfit_batches is given.
        batches: number of batches of the training set.
    """
    limit: int | float = trainer.limit_train_batches
    return min(batches, limit) if isinstance(limit, int) else int(batches * limit)


def _state_names(module: RatingModule, ndim: int) -> set[str]:
    """Return the keys of the optimizer's state for a parameter of `ndim` dimensions; empty if a trial step fails."""
    parameter = torch.nn.Parameter(torch.zeros((1,) * ndim))
    optimizer = module.make_optimizer([parameter])
    parameter.grad = torch.zeros_like(parameter)
    try:
        optimizer.step()
    except Exception:  # an optimizer of the user, which may need a closure
        return set()
    return set(optimizer.state[parameter])


def _check_generators(device: str, generators: dict[str, Tensor], world_size: int) -> None:
    """Check the states of the random generators of all processes.

    Raises:
        ValueError: one of them does not have a row for each process.
        RuntimeError: a row is not the state of a generator.
    """
    for name in ("dropout", "negatives"):
        check_tensor(generators[name], (world_size, None), (torch.uint8,))
        for row in generators[name] if device == "cpu" else ():
            torch.Generator().set_state(row.clone())


def _check_averaging(content: dict[str, Any], saved: dict[str, Any], steps: int) -> None:
    """Check the current and the averaged weights of `WeightAveraging`.

    Raises:
        ValueError: they differ in names, shapes or types, or the average was updated after the last step.
    """
    average, current = content["state_dict"], content["current_model_state"]
    _check_structure(average, current, "current_model_state")
    _check_structure(
        {"n_averaged": torch.zeros((), dtype=torch.long)}, content["averaging_state"], "averaging_state"
    )
    if saved["latest_update_step"] > steps:
        raise ValueError(
            f"latest_update_step: {saved['latest_update_step']:,}, after the last step, {steps:,}"
        )


def _check_parameter_state(
    values: dict[str, Any], parameter: Tensor, is_fused: bool, names: set[str]
) -> None:
    """Check the state that an optimizer keeps for a parameter.

    Raises:
        ValueError: a value is not a finite tensor, or, for a fused optimizer, does not have the shape and the type of
            the parameter; one of `names` is missing.
    """
    if missing := names - set(values):
        raise ValueError(f"optimizer: {min(missing)} is missing")
    for name, value in values.items():
        if not isinstance(value, Tensor):
            if name == "step":
                _check_structure(0, value, "optimizer.step")
                continue
            if name == "momentum_buffer" and value is None:  # SGD without momentum has none
                continue
            raise ValueError(f"optimizer: {name} is {type_of(value)}, not a tensor")
        if name == "step":
            check_tensor(value, (), (torch.float32,))
        elif is_fused:
            check_tensor(value, tuple(parameter.shape), (parameter.dtype,))
        else:
            check_tensor(value, (None,) * value.ndim, (value.dtype,))


def _check_equal(expected: dict[str, Any], found: dict[str, Any], changing: set[str], key: str) -> None:
    """Check that `found` has the values of `expected`, except for the keys in `changing`.

    Raises:
        ValueError: a value differs.
    """
    for name, value in found.items():
        if name not in changing and value != expected[name]:
            raise ValueError(f"{key}.{name}: {value!r:.80}, expected {expected[name]!r:.80}")


def _check_progress(
    content: dict[str, Any],
    loops: dict[str, Any],
    schedule: dict[str, Any],
    max_epochs: int,
    steps_per_epoch: int,
    batches: int,
) -> int:
    """Check that the counts of epochs, steps and batches do not exceed the length of the run.

    Returns:
        The number of optimizer steps.

    Raises:
        ValueError: a count is above its limit, or a cycle of the schedule has no steps.
    """
    steps = max_epochs * steps_per_epoch
    optimizer = loops["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"]["total"]
    counts = {
        "epochs": (loops["epoch_progress"]["current"]["processed"], max_epochs),
        "optimizer steps": (optimizer["completed"], steps),
        "batches": (loops["epoch_loop.batch_progress"]["total"]["ready"], max_epochs * batches),
        "batches of the epoch": (loops["epoch_loop.batch_progress"]["current"]["ready"], batches),
        "processed batches": (content["batches"]["batches"], batches - 1),
        "steps of the schedule": (schedule["last_epoch"], steps),
    }
    for name, (count, limit) in counts.items():
        if count > limit:
            raise ValueError(f"{name}: {count:,}, at most {limit:,} are possible")
    if schedule.get("T_i", 1) < 1:
        raise ValueError(f"schedule.T_i: {schedule['T_i']} is not at least 1")
    return optimizer["completed"]


def _check_structure(expected: Any, found: Any, key: str) -> None:
    """Check that `found` has the same nested keys, types and lengths as `expected`.

    An expected None allows any value, an expected empty dictionary any dictionary of plain values, and an expected
    tensor that is not finite any floating-point tensor of its shape. An integer is a count: it is not negative unless
    the expected one is.

    Raises:
        ValueError: `found` does not match; the message names the key.
    """
    if expected is None:
        return
    if expected == {} and isinstance(found, dict):
        check_plain(found)
        return
    if isinstance(expected, dict) and isinstance(found, dict):
        if missing := expected.keys() - found.keys():
            raise ValueError(f"{key}: {min(map(str, missing))!r:.80} is missing")
        for name, value in found.items():
            if name not in expected:
                raise ValueError(f"{key}: unexpected key {name!r:.80}")
            _check_structure(expected[name], value, f"{key}.{name}")
    elif isinstance(expected, list | tuple) and isinstance(found, list | tuple):
        if len(expected) != len(found):
            raise ValueError(f"{key}: {len(found)} values, expected {len(expected)}")
        for index, pair in enumerate(zip(expected, found, strict=True)):
            _check_structure(*pair, f"{key}[{index}]")
    elif (
        isinstance(expected, Tensor) and not expected.isfinite().all()
    ):  # for example the best value of a metric before the first epoch, which is infinite
        if not isinstance(found, Tensor) or found.shape != expected.shape or not found.is_floating_point():
            raise ValueError(f"{key}: not a floating-point tensor of shape {tuple(expected.shape)}")
    elif isinstance(expected, Tensor):
        check_tensor(found, tuple(expected.shape), (expected.dtype,))
    elif isinstance(expected, bool) or isinstance(found, bool) or isinstance(expected, str):
        if type(expected) is not type(found):
            raise ValueError(f"{key}: {type(found).__name__}, expected {type(expected).__name__}")
    elif isinstance(expected, int):
        if not isinstance(found, int) or not min(expected, 0) <= found <= MAX_COUNT:
            raise ValueError(f"{key}: {found!r:.80} is not a count")
    elif isinstance(expected, float):
        is_small = not isinstance(found, int) or abs(found) <= MAX_COUNT
        if not isinstance(found, int | float) or not is_small or not math.isfinite(found):
            raise ValueError(f"{key}: {found!r:.80} is not a finite number")
    elif type(expected) is not type(found):
        raise ValueError(f"{key}: {type(found).__name__}, expected {type(expected).__name__}")
