"""Predictions for pairs, and each user's top-k items of a full catalogue: exact, in bounded memory."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from recsys.data.batches import row_starts
from recsys.models.scorer import Precision, Scorer

SCORES_PER_BLOCK = 1 << 24  # users x items in memory at once: 64 MB in float32
PAIRS_PER_CHUNK = 1 << 18
SPARE_CANDIDATES = 100  # beyond k in reduced precision; rounding errors are far below the spread of scores


@dataclass(frozen=True, eq=False)
class Seen:
    """Which items each user has rated, in compressed sparse rows.

    Attributes:
        items: int64 (n_ratings,); item indices, grouped by user.
        starts: int64 (n_users + 1,); those of user u are `items[starts[u] : starts[u + 1]]`.
    """

    items: Tensor
    starts: Tensor

    @classmethod
    def of(cls, users: NDArray, items: NDArray, n_users: int) -> "Seen":
        """Group ratings in any order by user: user indices and item indices, both (n_ratings,)."""
        order = np.argsort(users, kind="stable")
        return cls(torch.from_numpy(items[order].astype(np.int64)), row_starts(users, n_users))

    def to(self, device: torch.device) -> "Seen":
        """Return the same items on a device."""
        return self if self.items.device == device else Seen(self.items.to(device), self.starts.to(device))

    def positions(self, users: Tensor) -> tuple[Tensor, Tensor]:
        """Return rows and columns of the seen items of `users` (B,) in a matrix (B, n_items)."""
        users, device = users.long(), users.device
        first, counts = self.starts[users], self.starts[users + 1] - self.starts[users]
        rows = torch.repeat_interleave(torch.arange(len(users), device=device), counts)
        within = (
            torch.arange(len(rows), device=device) - (counts.cumsum(0) - counts)[rows]
        )  # 0, 1, ... for each user
        return rows, self.items[first[rows] + within]


def top_k(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k highest scores of each row; ties are ordered by column.

    Args:
        scores: float32 (B, n).
        k: how many; at most n are returned.

    Returns:
        Values in descending order and their columns; both (B, min(k, n)).

    Raises:
        ValueError: k is below 1.
    """
    k = _limited(k, scores.shape[1])
    values, columns = scores.topk(k)
    # topk does not say which of several equal values it takes. Inside the k, a small sort decides. Rows with
    # more values equal to the lowest than fit are ranked again by a key without ties.
    lowest = values[:, -1:]
    ambiguous = (scores == lowest).sum(1) > (values == lowest).sum(1)
    if ambiguous.any():
        columns[ambiguous] = _unique_keys(scores[ambiguous]).topk(k).indices
    columns = columns.sort(1).values
    values, order = scores.gather(1, columns).sort(stable=True, dim=1, descending=True)
    return values, columns.gather(1, order)


def top_items(
    scorer: Scorer,
    users: ArrayLike,
    k: int,
    seen: Seen | None = None,
    allowed: NDArray[np.bool_] | None = None,
    candidates: Precision = "fp32",
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the k items with the highest scores for each user.

    Args:
        scorer: on any device.
        users: user indices (U,).
        k: how many; at most all items are returned.
        seen: items to leave out, or None.
        allowed: bool (n_items,), items to choose from, or None for all.
        candidates: precision in which candidates are found: "fp32", "bf16", or "int8" (MLP only, on a CPU).
            Scores of the candidates, and so their order, are computed again in float32. An item is missed
            only if rounding moves it back by more than `SPARE_CANDIDATES` ranks.

    Returns:
        Unclipped scores in descending order and item indices, both (U, min(k, n_items)); the score is -inf
        where no items are left. Ties are ordered by item index.

    Raises:
        ValueError: k is below 1.
        ConfigError: candidates="int8" on a processor without support for it.
    """
    device = scorer.device
    index = torch.from_numpy(np.atleast_1d(np.asarray(users, dtype=np.int64))).to(device)
    seen = None if seen is None else seen.to(device)
    excluded = None if allowed is None else torch.from_numpy(~allowed).to(device)
    k = _limited(k, scorer.n_items)
    values = np.empty((len(index), k), dtype=np.float32)
    items = np.empty((len(index), k), dtype=np.int64)
    block = max(1, SCORES_PER_BLOCK // scorer.n_items)
    for start in range(0, len(index), block):
        chunk = index[start : start + block]
        scores = scorer.score_catalogue(chunk, candidates).float()
        if seen is not None:
            scores[seen.positions(chunk)] = -torch.inf
        if excluded is not None:
            scores[:, excluded] = -torch.inf
        if candidates == "fp32":
            best, columns = top_k(scores, k)
        else:
            best, columns = top_k(scores, k + SPARE_CANDIDATES)
            best, columns = _rescore(scorer, chunk, best, columns, k)
        values[start : start + block] = best.cpu().numpy()
        items[start : start + block] = columns.cpu().numpy()
    return values, items


def _limited(k: int, n: int) -> int:
    if k < 1:
        raise ValueError(f"k={k}: must be at least 1")
    return min(k, n)


def predict_pairs(scorer: Scorer, users: NDArray, items: NDArray) -> NDArray[np.float32]:
    """Return ratings clipped to the scale: user indices (n,) and item indices (n,) to (n,)."""
    return _in_chunks(scorer.predict, *_as_tensors(scorer, users, items)).cpu().numpy()


def deviations_of_pairs(scorer: Scorer, users: NDArray, items: NDArray) -> NDArray[np.float32]:
    """Return by how much the networks disagree, see `Scorer.deviations`; nan if there is only one network."""

    return _in_chunks(_or_nan(scorer.deviations), *_as_tensors(scorer, users, items)).cpu().numpy()


def relevance_of_pairs(
    scorer: Scorer, users: NDArray, items: NDArray, threshold: float
) -> NDArray[np.float32]:
    """Return P(rating >= threshold) of user and item indices (n,), see `Scorer.relevance`; nan if it is not known."""
    relevance = _or_nan(partial(scorer.relevance, threshold=threshold))
    return _in_chunks(relevance, *_as_tensors(scorer, users, items)).cpu().numpy()


def _or_nan(predict: Callable[[Tensor, Tensor], Tensor | None]) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a function that returns nan for each pair where another one returns None."""

    def predict_or_nan(users: Tensor, items: Tensor) -> Tensor:
        found = predict(users, items)
        return torch.full(users.shape, torch.nan, device=users.device) if found is None else found

    return predict_or_nan


def _as_tensors(scorer: Scorer, users: NDArray, items: NDArray) -> tuple[Tensor, Tensor]:
    """Return indices (n,) as tensors on the device of the scorer."""
    user, item = (torch.from_numpy(np.array(index, dtype=np.int64)) for index in (users, items))
    return user.to(scorer.device), item.to(scorer.device)


@torch.no_grad()
def _in_chunks(predict: Callable[[Tensor, Tensor], Tensor], users: Tensor, items: Tensor) -> Tensor:
    """Return predictions (n,), with the MLP's activations of one chunk in memory at a time."""
    chunks = zip(users.split(PAIRS_PER_CHUNK), items.split(PAIRS_PER_CHUNK), strict=True)
    return torch.cat([predict(*pairs) for pairs in chunks])


def _rescore(scorer: Scorer, users: Tensor, rounded: Tensor, items: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k best of each user's candidates by float32 scores.

    Args:
        scorer: the scorer.
        users: user indices (B,).
        rounded: scores in reduced precision (B, n).
        items: their item indices (B, n).
        k: how many.
    """
    items, order = items.sort(1)  # so that ties are ordered by item index
    scores = _in_chunks(scorer, users.repeat_interleave(items.shape[1]), items.flatten()).view(items.shape)
    scores[rounded.gather(1, order) == -torch.inf] = -torch.inf  # excluded
    values, columns = top_k(scores, k)
    return values, items.gather(1, columns)


def _unique_keys(scores: Tensor) -> Tensor:
    """Return int64 keys ordered by score, then by lower column: no two in a row are equal."""
    bits = (scores + 0.0).view(torch.int32).long()  # + 0.0 turns -0.0 into the 0.0 that it equals
    ascending = torch.where(bits < 0, -(2**31) - bits, bits)  # negative floats are ordered by magnitude
    return ascending * 2**31 - torch.arange(scores.shape[1], device=scores.device)
