"""A stack of linear layers over two vectors side by side, and its outputs for all pairs of many."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recsys.models.dropout import Dropout

VALUES_AT_ONCE = 1 << 19  # of a layer while scoring: 2 MB, which a processor's cache holds


def stack(
    width_in: int, hidden: int | Sequence[int], dropouts: float | Sequence[float], first: float
) -> nn.Sequential:
    """Dropout -> [Linear, ReLU, dropout] x depth -> Linear: (B, width_in) to (B, 1).

    Args:
        width_in: of both vectors together.
        hidden: widths of the layers; a number is one layer, an empty list none.
        dropouts: dropout after each layer; a list's last value repeats for the layers beyond it.
        first: dropout on the vectors.
    """
    widths = [hidden] if isinstance(hidden, int) else list(hidden)
    rates = list(dropouts) if isinstance(dropouts, Sequence) else [dropouts]
    layers: list[nn.Module] = [Dropout(first)]
    for depth, width in enumerate(widths):
        layers += [nn.Linear(width_in, width), nn.ReLU(), Dropout(rates[min(depth, len(rates) - 1)])]
        width_in = width
    return nn.Sequential(*layers, nn.Linear(width_in, 1))


def all_pairs(layers: nn.Sequential, users: Tensor, movies: Tensor) -> Tensor:
    """Outputs of a stack for every user with every movie: (B, d) and (n, e) to float32 (B, n).

    The first layer is linear in the concatenated vectors, W [u; m] + b = (W_u u + b) + W_m m, so each user's
    and each movie's part is computed once, and a pair costs their sum and the layers above.

    Args:
        layers: of `stack`, in evaluation mode.
        users: vectors.
        movies: vectors.
    """
    first, above = layers[1], layers[2:]  # layers[0] is dropout, which is off
    assert isinstance(first, nn.Linear)
    of_user, of_movie = first.weight.split([users.shape[1], movies.shape[1]], dim=1)  # (h, d), (h, e)
    user_part = nn.functional.linear(users, of_user, first.bias)  # (B, h)
    movie_part = movies @ of_movie.T  # (n, h)
    outputs = torch.empty(len(users), len(movies), device=users.device)
    widest = max(layer.out_features for layer in layers if isinstance(layer, nn.Linear))
    at_once = max(1, VALUES_AT_ONCE // widest)  # pairs
    chunk = min(len(movies), at_once)
    for some, columns in zip(movie_part.split(chunk), outputs.split(chunk, dim=1), strict=True):
        few = max(1, at_once // chunk)
        for part, out in zip(user_part.split(few), columns.split(few), strict=True):
            out.copy_(above(some + part.unsqueeze(1)).squeeze(-1))  # (few, chunk, h) to (few, chunk)
    return outputs
