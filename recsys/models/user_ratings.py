"""The training ratings of each user, as lists or as a matrix, and sums of table rows over the items that a user rated.

Lists take 20 bytes per rating, and sums over them take time in proportion to the number of ratings. A matrix takes
5 bytes per user and item, and its sums are matrix products of a fixed shape. If it fits into the memory of a GPU, it is
expected to be much faster there: it needs no sorting and no synchronisation, and a training step can be compiled or
captured as one CUDA graph.
"""

from abc import ABC, abstractmethod
from contextlib import nullcontext
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import embedding_bag

from recsys.data.batches import row_starts
from recsys.models.ops.embedding_bag import BagIndex, bag_sums

RATINGS_PER_CHUNK = 1 << 20  # number of ratings in lists that are summed at once
CELLS_PER_CHUNK = 1 << 26  # number of cells of the matrix that are read at once
MAX_MATRIX_BYTES = 1 << 30  # the largest matrix; each pair of user and item takes 5 bytes


class Sums(NamedTuple):
    """Sums over the ratings of U users.

    Of each rated item j, a vector y_j says that the user chose it, and a vector x_j, how the user rated it.

    Attributes:
        chosen: sum of y_j, (U, d).
        liked: sum of x_j, (U, d).
        weighted: sum of residual * x_j, (U, d).
        residual: sum of residuals, (U, 1).
        n_ratings: number of ratings, (U, 1).
    """

    chosen: Tensor
    liked: Tensor
    weighted: Tensor
    residual: Tensor
    n_ratings: Tensor


class UserRatings(ABC):
    """The training ratings of each user.

    Attributes:
        counts: int64 (n_users,); number of ratings.
        device: the device of the ratings.
        users_per_chunk: number of users whose sums fit into memory.
    """

    counts: Tensor
    users_per_chunk: int

    @property
    def device(self) -> torch.device:
        """The device of the ratings."""
        return self.counts.device

    @abstractmethod
    def sums(self, users: Tensor, chosen: Tensor, liked: Tensor) -> Sums:
        """Return sums for users (U,), from tables y and x, both (n_items, d)."""

    @abstractmethod
    def of_pairs(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Return, for users (B,) and items (B,), whether the user rated the item, and the residual.

        Both are float32 (B, 1). Without a rating, both are 0.
        """


class RatingLists(UserRatings):
    """Ratings sorted by user and item.

    Args:
        keys: int64 (n,); user index * n_items + item index, ascending.
        residuals: float32 (n,); ratings minus the mean and the item bias.
        starts: int64 (n_users + 1,); the ratings of user u are at positions `starts[u]:starts[u + 1]`.
        n_items: number of items.
    """

    def __init__(self, keys: Tensor, residuals: Tensor, starts: Tensor, n_items: int) -> None:
        self.keys, self.residuals, self.starts, self.n_items = keys, residuals, starts, n_items
        self.items = (keys % n_items).int()
        self.counts = starts.diff()
        each = torch.arange(len(keys), device=keys.device)
        self.residual_sums = embedding_bag(each, residuals[:, None], starts[:-1], mode="sum")  # (n_users, 1)
        self.users_per_chunk = max(1, RATINGS_PER_CHUNK * len(self.counts) // max(1, len(keys)))

    @classmethod
    def of(cls, users: NDArray, items: NDArray, residuals: NDArray, n_users: int, n_items: int) -> Self:
        """Sort ratings given in any order; user indices, item indices and residuals are all (n,)."""
        keys = users.astype(np.int64) * n_items + items
        order = np.argsort(keys, kind="stable")
        sorted_residuals = torch.from_numpy(residuals[order].astype(np.float32))
        return cls(torch.from_numpy(keys[order]), sorted_residuals, row_starts(users, n_users), n_items)

    def on(self, device: torch.device) -> UserRatings:
        """Return the ratings on a device, in the form that is fast there."""
        if device.type == "cpu":
            return self
        keys, residuals = self.keys.to(device), self.residuals.to(device)
        n_users = len(self.counts)
        if 5 * n_users * self.n_items <= MAX_MATRIX_BYTES:
            return RatingMatrix(keys, residuals, n_users, self.n_items)
        return RatingLists(keys, residuals, self.starts.to(device), self.n_items)

    @torch.compiler.disable  # sizes depend on the users
    def sums(self, users: Tensor, chosen: Tensor, liked: Tensor) -> Sums:
        """Return the sums of users (U,); on a CPU, the sums of a user that occurs several times are computed once."""
        if self.device.type != "cpu":  # `unique` would synchronise with the device
            return self._sums(users.long(), chosen, liked)
        distinct, position = users.long().unique(return_inverse=True)
        return Sums(*(values.index_select(0, position) for values in self._sums(distinct, chosen, liked)))

    def of_pairs(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Return whether pairs were rated, and their residuals; see `UserRatings`."""
        keys = users.long() * self.n_items + items
        found = torch.searchsorted(self.keys, keys).clamp_max(len(self.keys) - 1)
        is_rated = (self.keys[found] == keys).float()[:, None]
        return is_rated, is_rated * self.residuals[found, None]

    def _sums(self, users: Tensor, chosen: Tensor, liked: Tensor) -> Sums:
        first = self.starts[users]
        counts = self.starts[users + 1] - first
        offsets = counts.cumsum(0) - counts
        rows = torch.arange(int(counts.sum()), device=users.device)  # synchronises with a GPU, once per step
        rows = rows + (first - offsets).repeat_interleave(counts, output_size=len(rows))
        # index_select takes a quarter of the time of indexing with brackets for many rows.
        items, residuals = self.items.index_select(0, rows), self.residuals.index_select(0, rows)
        bags = BagIndex(items, offsets.int(), self.n_items)
        chosen_sum, liked_sum = bag_sums(torch.cat([chosen, liked], dim=1), bags).chunk(2, dim=1)
        weighted = bag_sums(liked, bags, residuals)
        return Sums(chosen_sum, liked_sum, weighted, self.residual_sums[users], counts[:, None].float())


class RatingMatrix(UserRatings):
    """A matrix of the ratings of all users for all items.

    Args:
        keys: int64 (n,); user index * n_items + item index.
        residuals: float32 (n,); ratings minus the mean and the item bias.
        n_users: number of users.
        n_items: number of items.
    """

    def __init__(self, keys: Tensor, residuals: Tensor, n_users: int, n_items: int) -> None:
        device = keys.device
        self.rated = torch.zeros(n_users * n_items, dtype=torch.bool, device=device)
        self.residuals = torch.zeros(n_users * n_items, device=device)
        self.rated[keys], self.residuals[keys] = True, residuals
        self.rated, self.residuals = self.rated.view(n_users, n_items), self.residuals.view(n_users, n_items)
        self.counts = self.rated.sum(1)
        self.residual_sums = self.residuals.sum(1, keepdim=True)
        self.users_per_chunk = max(1, CELLS_PER_CHUNK // n_items)

    def sums(self, users: Tensor, chosen: Tensor, liked: Tensor) -> Sums:
        """Return the sums of users (U,), as products of their rows (U, n_items) and the tables."""
        rated = self.rated.index_select(0, users).to(liked.dtype)
        device = users.device.type
        is_mixed = device != "meta" and torch.is_autocast_enabled(device)
        # Sums over hundreds of items need float32.
        with torch.autocast(device, enabled=False) if is_mixed else nullcontext():
            sums = rated @ torch.cat([chosen, liked], dim=1)
            weighted = self.residuals.index_select(0, users) @ liked
        chosen_sum, liked_sum = sums.chunk(2, dim=1)
        residual, count = self.residual_sums.index_select(0, users), self.counts.index_select(0, users)
        return Sums(chosen_sum, liked_sum, weighted, residual, count[:, None].float())

    def of_pairs(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Return whether pairs were rated, and their residuals; see `UserRatings`."""
        return self.rated[users, items].float()[:, None], self.residuals[users, items][:, None]
