"""A stack of layers over two vectors side by side: its outputs for all pairs of many."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from recsys.models.int8 import Int8Layers
from recsys.models.stack import Stack

BYTES_AT_ONCE = 1 << 21  # of a layer's values while scoring: what a processor's cache holds
SAMPLE = 2048  # pairs


def all_pairs(layers: Stack, users: Tensor, movies: Tensor) -> Tensor:
    """Outputs of a stack for every user with every movie: (B, d) and (n, e) to float32 (B, n).

    The first layer is linear in the concatenated vectors, W [u; m] + b = (W_u u + b) + W_m m, so each user's
    and each movie's part is computed once, and a pair costs their sum and the layers above.

    Args:
        layers: in evaluation mode.
        users: vectors.
        movies: vectors.
    """
    _, first, *rest = layers  # of which the first is dropout, which is off
    assert isinstance(first, nn.Linear)
    of_user, of_movie = first.weight.split([users.shape[1], movies.shape[1]], dim=1)  # (h, d), (h, e)
    user_part = nn.functional.linear(users, of_user, first.bias)  # (B, h)
    movie_part = movies @ of_movie.T  # (n, h)
    above: Callable[[Tensor], Tensor] = nn.Sequential(*rest)
    bytes_each = 4
    if layers.in_int8 and rest:
        step = torch.arange(SAMPLE, device=users.device)
        spread = len(movies) // SAMPLE + 1  # over the whole catalogue
        above = Int8Layers(rest, user_part[step % len(users)] + movie_part[(step * spread) % len(movies)])
        user_part, movie_part, bytes_each = above.in_steps(user_part), above.in_steps(movie_part), 1
    outputs = torch.empty(len(users), len(movies), device=users.device)
    widest = max(layer.out_features for layer in layers if isinstance(layer, nn.Linear))
    at_once = max(1, BYTES_AT_ONCE // (bytes_each * widest))  # pairs
    chunk = min(len(movies), at_once)
    for some, columns in zip(movie_part.split(chunk), outputs.split(chunk, dim=1), strict=True):
        few = max(1, at_once // chunk)
        for part, out in zip(user_part.split(few), columns.split(few), strict=True):
            out.copy_(above(some + part.unsqueeze(1)).squeeze(-1))  # (few, chunk, h) to (few, chunk)
    return outputs


@contextmanager
def in_int8(network: nn.Module) -> Iterator[None]:
    """Within, `all_pairs` of the network's stacks computes what is above their first layers in 8 bits."""
    stacks = [module for module in network.modules() if isinstance(module, Stack)]
    for stack in stacks:
        stack.in_int8 = True
    try:
        yield
    finally:
        for stack in stacks:
            stack.in_int8 = False
