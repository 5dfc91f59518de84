"""Ratings of pairs, and each user's best items of a whole catalogue: exact, in bounded memory, no sort."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from recsys.models.base import RatingNetwork

Precision = Literal["fp32", "bf16", "int8"]

SCORES_AT_ONCE = 1 << 24  # users x items held in memory: 64 MB in float32
PAIRS_AT_ONCE = 1 << 18
SPARE = 100  # candidates beyond k where scores are rounded; the error of a score is far below their spread


@dataclass(frozen=True, eq=False)
class Seen:
    """Which items each user has rated, in compressed rows.

    Attributes:
        items: int64 (n_ratings,); item rows, those of one user side by side.
        starts: int64 (n_users + 1,); those of user u are `items[starts[u] : starts[u + 1]]`.
    """

    items: Tensor
    starts: Tensor

    @classmethod
    def of(cls, users: NDArray, items: NDArray, n_users: int) -> "Seen":
        """From ratings' user rows and item rows, both (n_ratings,), in any order."""
        order = np.argsort(users, kind="stable")
        ends = np.cumsum(np.bincount(users, minlength=n_users))
        starts = torch.from_numpy(np.concatenate([[0], ends]))
        return cls(torch.from_numpy(items[order].astype(np.int64)), starts)

    def positions(self, users: Tensor) -> tuple[Tensor, Tensor]:
        """Where the seen items of `users` (B,) stand in a matrix (B, n_items): its lines and columns."""
        users = users.long()
        first, counts = self.starts[users], self.starts[users + 1] - self.starts[users]
        lines = torch.repeat_interleave(torch.arange(len(users)), counts)
        within = torch.arange(len(lines)) - (counts.cumsum(0) - counts)[lines]  # 0, 1, ... for each user
        return lines, self.items[first[lines] + within]


def top_k(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k highest of each line, equal ones by column.

    Args:
        scores: float32 (B, n).
        k: how many; at most n are given.

    Returns:
        Values, descending, and their columns; both (B, min(k, n)).
    """
    k = min(k, scores.shape[1])
    values, columns = scores.topk(k)
    # topk leaves open which of several equal values it takes. Inside the k a small sort decides; where more
    # are equal to the lowest than there is room for, those lines are taken again by a key that has no ties.
    lowest = values[:, -1:]
    crowded = (scores == lowest).sum(1) > (values == lowest).sum(1)
    if crowded.any():
        columns[crowded] = _keys(scores[crowded]).topk(k).indices
    columns = columns.sort(1).values
    values, order = scores.gather(1, columns).sort(stable=True, dim=1, descending=True)
    return values, columns.gather(1, order)


def rank(
    network: RatingNetwork,
    users: ArrayLike,
    k: int,
    seen: Seen | None = None,
    allowed: NDArray[np.bool_] | None = None,
    candidates: Precision = "fp32",
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The k items of each user with the highest predicted ratings.

    Args:
        network: in evaluation mode, on any device.
        users: user rows (U,).
        k: how many; at most all items are given.
        seen: what to leave out, or None.
        allowed: bool (n_items,), what to choose from, or None for everything.
        candidates: what finds them: matrix products in float32, in bfloat16, or (layers only, on a CPU) in
            bytes. The ratings of what is found, and with them the order, are computed again in float32; a
            item is missed only where rounding throws it back by more than `SPARE` places.

    Returns:
        Unclipped ratings, descending, and item rows, both (U, min(k, n_items)); a rating of -inf stands
        where there are no more items. Equal ratings stand in the order of their rows.

    Raises:
        ConfigError: candidates="int8" on a processor without such products.
    """
    rows = torch.from_numpy(np.atleast_1d(np.asarray(users, dtype=np.int64)))
    device = next(network.parameters()).device
    ruled_out = None if allowed is None else torch.from_numpy(~allowed).to(device)
    k = min(k, network.n_items)
    values = np.empty((len(rows), k), dtype=np.float32)
    items = np.empty((len(rows), k), dtype=np.int64)
    block = max(1, SCORES_AT_ONCE // network.n_items)
    score = partial(network.score, precision="int8") if candidates == "int8" else network.score
    for start in range(0, len(rows), block):
        some = rows[start : start + block]
        bf16 = torch.autocast(device.type, torch.bfloat16, enabled=candidates == "bf16")
        with bf16:
            scores = score(some.to(device)).float()
        if seen is not None:
            lines, columns = seen.positions(some)
            scores[lines.to(device), columns.to(device)] = -torch.inf
        if ruled_out is not None:
            scores[:, ruled_out] = -torch.inf
        is_rough = candidates != "fp32"
        best, columns = top_k(scores, k + SPARE if is_rough else k)
        if is_rough:
            best, columns = _in_float32(network, some.to(device), best, columns, k)
        values[start : start + block], items[start : start + block] = (
            best.cpu().numpy(),
            columns.cpu().numpy(),
        )
    return values, items


def rate(network: RatingNetwork, users: NDArray, items: NDArray) -> NDArray[np.float32]:
    """Ratings of pairs, clipped to the scale: user rows (n,) and item rows (n,) to (n,)."""
    columns = (torch.from_numpy(np.array(rows, dtype=np.int64)) for rows in (users, items))
    return _in_pieces(network.predict, *columns).numpy()


@torch.no_grad()
def _in_pieces(ratings_of: Callable[[Tensor, Tensor], Tensor], users: Tensor, items: Tensor) -> Tensor:
    """Ratings of pairs (n,), however many they are: their layers are not in memory all at once."""
    pieces = zip(users.split(PAIRS_AT_ONCE), items.split(PAIRS_AT_ONCE), strict=True)
    return torch.cat([ratings_of(*pairs) for pairs in pieces])


def _in_float32(
    network: RatingNetwork, users: Tensor, rounded: Tensor, items: Tensor, k: int
) -> tuple[Tensor, Tensor]:
    """The k best of each user's candidates: users (B,), rounded ratings and item rows (B, n) to (B, k)."""
    items, order = items.sort(1)  # so that equal ratings stand in the order of rows
    scores = _in_pieces(network, users.repeat_interleave(items.shape[1]), items.flatten())
    scores = scores.view(items.shape)
    scores[rounded.gather(1, order) == -torch.inf] = -torch.inf  # ruled out
    values, places = top_k(scores, k)
    return values, items.gather(1, places)


def _keys(scores: Tensor) -> Tensor:
    """int64 keys in the order of (score, then lower column first): no two in a line are equal."""
    bits = (scores + 0.0).view(torch.int32).long()  # + 0.0 makes -0.0 the 0.0 it is equal to
    ascending = torch.where(bits < 0, -(2**31) - bits, bits)  # float order is magnitude order below zero
    return ascending * 2**31 - torch.arange(scores.shape[1], device=scores.device)
