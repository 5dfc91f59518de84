"""Check what the methods of networks, losses and schedules return, which may be the user's own classes."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler

from recsys.errors import ConfigError, type_of
from recsys.models.base import RatingNetwork

N_PAIRS = 2  # of users and items, as many as a small network has


def network_errors(network: RatingNetwork) -> Iterator[str]:
    """Yield an error if a network does not return one number per pair; none if it cannot be computed without data.

    Scores of shape (B, 1) would otherwise be broadcast against the ratings (B,), so that the loss is wrong.

    Args:
        network: on the device "meta", which computes shapes only; see `build_small_network`.
    """
    name = "forward" if type(network).logits is RatingNetwork.logits else "logits"
    pairs = [torch.zeros(N_PAIRS, dtype=torch.int32, device="meta") for _ in range(2)]
    try:
        with torch.no_grad():
            scores = getattr(network, name)(*pairs)
    except Exception:  # an error that is not caused by the missing data is raised again in training
        return
    where = f"model: {type(network).__name__}.{name}"
    if not isinstance(scores, Tensor):
        yield f"{where} must return a tensor, and returns {type_of(scores)}"
    elif scores.shape != (N_PAIRS,) or not scores.is_floating_point():
        yield (
            f"{where} must return floats of shape ({N_PAIRS},) for {N_PAIRS} users and {N_PAIRS} items, and returns "
            f"{scores.dtype} of shape {tuple(scores.shape)}"
        )


def cycle_end_errors(schedule: object, ends: object) -> Iterator[str]:
    """Yield an error if what `Schedule.cycle_ends` returned is not a set of integers, or empty."""
    if not (isinstance(ends, set) and ends and all(type(end) is int for end in ends)):
        yield (
            f"schedule: {type(schedule).__name__}.cycle_ends must return a set of integers, at least one, and returns "
            f"{ends!s:.100}"
        )


def check_scheduler(schedule: object, scheduler: object) -> None:
    """Check what a schedule returns.

    Raises:
        ConfigError: it is not a scheduler of torch.
    """
    if not isinstance(scheduler, LRScheduler):
        raise ConfigError(
            f"schedule: {type(schedule).__name__}.__call__ must return a scheduler of torch.optim.lr_scheduler, and "
            f"returns {type_of(scheduler)}"
        )


def check_loss(loss: object, value: object) -> None:
    """Check the loss of a batch.

    Raises:
        ConfigError: it is not a scalar tensor.
    """
    if not isinstance(value, Tensor) or value.ndim:
        shape = f" of shape {tuple(value.shape)}" if isinstance(value, Tensor) else ""
        raise ConfigError(
            f"loss: {type(loss).__name__}.__call__ must return a scalar tensor, and returns {type_of(value)}{shape}"
        )
