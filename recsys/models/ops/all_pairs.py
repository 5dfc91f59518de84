"""A stack of layers over two vectors side by side: its outputs for all pairs of many."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn

from recsys.models.ops.int8 import Int8MLP
from recsys.models.ops.mlp import MLP

BYTES_AT_ONCE = 1 << 21  # of a layer's values while scoring: what a processor's cache holds
SPREAD, FURTHEST = 1024, 32  # of the pairs by which 8 bits are chosen

_in_int8 = ContextVar("in_int8", default=False)


def all_pairs(layers: MLP, users: Tensor, items: Tensor, precision: str = "fp32") -> Tensor:
    """Outputs of a stack for every user with every item: (B, d) and (n, e) to float32 (B, n).

    The first layer is linear in the concatenated vectors, W [u; m] + b = (W_u u + b) + W_m m, so each user's
    and each item's part is computed once, and a pair costs their sum and the layers above.

    Args:
        layers: in evaluation mode.
        users: vectors.
        items: vectors.
    """
    _, first, *rest = layers  # of which the first is dropout, which is off
    assert isinstance(first, nn.Linear)
    of_user, of_item = first.weight.split([users.shape[1], items.shape[1]], dim=1)  # (h, d), (h, e)
    user_part = nn.functional.linear(users, of_user, first.bias)  # (B, h)
    item_part = items @ of_item.T  # (n, h)
    above: Callable[[Tensor], Tensor] = nn.Sequential(*rest)
    bytes_each = 4
    if precision == "int8" and rest:
        above, bytes_each = Int8MLP(rest, _some_pairs(user_part, item_part)), 1
        user_part, item_part = above.in_steps(user_part), above.in_steps(item_part)
    outputs = torch.empty(len(users), len(items), device=users.device)
    widest = max(layer.out_features for layer in layers if isinstance(layer, nn.Linear))
    at_once = max(1, BYTES_AT_ONCE // (bytes_each * widest))  # pairs
    chunk = min(len(items), at_once)
    for some, columns in zip(item_part.split(chunk), outputs.split(chunk, dim=1), strict=True):
        few = max(1, at_once // chunk)
        for part, out in zip(user_part.split(few), columns.split(few), strict=True):
            out.copy_(above(some + part.unsqueeze(1)).squeeze(-1))  # (few, chunk, h) to (few, chunk)
    return outputs


def _some_pairs(user_part: Tensor, item_part: Tensor) -> Tensor:
    """What goes into the layers above, (n, h): of pairs here and there, and of those furthest out."""
    step = torch.arange(SPREAD, device=user_part.device)
    users, items = step * len(user_part) // SPREAD, step * 7919 % len(item_part)  # a prime: no pattern
    far_users, far_items = (
        part[part.amax(1).topk(min(FURTHEST, len(part))).indices] for part in (user_part, item_part)
    )
    furthest = (far_users[:, None] + far_items).flatten(0, 1)
    return torch.cat([user_part[users] + item_part[items], furthest])


@contextmanager
def in_int8(enabled: bool = True) -> Iterator[None]:
    """Within, in this thread, `all_pairs` computes what is above the first layer in 8 bits, or does not."""
    token = _in_int8.set(enabled)
    try:
        yield
    finally:
        _in_int8.reset(token)
