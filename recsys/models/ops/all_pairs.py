"""Outputs of an MLP for every user with every item."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from recsys.models.ops.int8 import Int8MLP
from recsys.models.ops.mlp import MLP

Precision = Literal["fp32", "int8"]

CHUNK_BYTES = 1 << 21  # activations of one layer in one chunk; fits a processor's cache
GPU_CHUNK_BYTES = 1 << 28  # enough work for all cores of a GPU, and launches are few
SAMPLED_PAIRS, EXTREME_ROWS = 1024, 32  # pairs by which the int8 scales are chosen


def all_pairs(mlp: MLP, users: Tensor, items: Tensor, precision: Precision = "fp32") -> Tensor:
    """Return the outputs of an MLP for the concatenated vectors of every user and every item.

    The first layer is linear in the concatenated vectors, W [u; v] + b = (W_u u + b) + W_v v. The user parts
    and the item parts are computed once each; a pair costs their sum and the remaining layers. Compared with
    the MLP on all pairs in chunks of the fastest size, on one thread, this saves 60 % of the time with hidden
    [64] and nothing with hidden [100, 200, 300]. For int8, see docs/performance.md.

    Args:
        mlp: in evaluation mode.
        users: user vectors (B, d).
        items: item vectors (n, e).
        precision: "int8" computes the layers after the first in 8 bits: faster and less exact, CPU only.

    Returns:
        float32 (B, n).

    Raises:
        ConfigError: precision="int8" on a processor without VNNI instructions.
    """
    _, first, *rest = mlp  # the skipped module is dropout, which does nothing in evaluation mode
    assert isinstance(first, nn.Linear)
    user_weight, item_weight = first.weight.split([users.shape[1], items.shape[1]], dim=1)  # (h, d), (h, e)
    user_part = nn.functional.linear(users, user_weight, first.bias)  # (B, h)
    item_part = items @ item_weight.T  # (n, h)
    remaining: Callable[[Tensor], Tensor] = nn.Sequential(*rest)
    value_bytes = 4
    if precision == "int8" and rest:
        remaining, value_bytes = Int8MLP(rest, _sample_pairs(user_part, item_part)), 1
        user_part, item_part = remaining.quantise(user_part), remaining.quantise(item_part)
    outputs = torch.empty(len(users), len(items), device=users.device)
    max_width = max(layer.out_features for layer in mlp if isinstance(layer, nn.Linear))
    chunk_bytes = CHUNK_BYTES if users.device.type == "cpu" else GPU_CHUNK_BYTES
    chunk_pairs = max(1, chunk_bytes // (value_bytes * max_width))
    chunk_items = min(len(items), chunk_pairs)
    for item_chunk, columns in zip(
        item_part.split(chunk_items), outputs.split(chunk_items, dim=1), strict=True
    ):
        chunk_users = max(1, chunk_pairs // chunk_items)
        for user_chunk, out in zip(user_part.split(chunk_users), columns.split(chunk_users), strict=True):
            out.copy_(remaining(item_chunk + user_chunk.unsqueeze(1)).squeeze(-1))
    return outputs


def _sample_pairs(user_part: Tensor, item_part: Tensor) -> Tensor:
    """Return inputs (n, h) of the remaining layers: evenly spread pairs and those with the largest values."""
    steps = torch.arange(SAMPLED_PAIRS, device=user_part.device)
    users = steps * len(user_part) // SAMPLED_PAIRS
    items = steps * 7919 % len(item_part)  # a prime, so that users and items do not repeat in step
    extreme_users, extreme_items = (
        part[part.amax(1).topk(min(EXTREME_ROWS, len(part))).indices] for part in (user_part, item_part)
    )
    extreme_pairs = (extreme_users[:, None] + extreme_items).flatten(0, 1)
    return torch.cat([user_part[users] + item_part[items], extreme_pairs])
