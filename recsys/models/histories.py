"""Rating histories, as lists or as a matrix, and sums of table rows over them.

The ratings are a matrix. The history of a user is a row of it, where columns are items; the history of an item is a row
of the transposed matrix, where columns are users.

Lists take 20 bytes per rating, and sums over them take time in proportion to the number of ratings. A dense matrix
takes 5 bytes per cell, and its sums are matrix products of a fixed shape. If it fits into the memory of a GPU, it is
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
MAX_MATRIX_BYTES = 1 << 30  # the largest matrix; a cell takes 5 bytes


class Sums(NamedTuple):
    """Sums over the ratings of B rows.

    Of each rated column j, a vector y_j says that it was rated, and a vector x_j, how high.

    Attributes:
        chosen: sum of y_j, (B, d).
        liked: sum of x_j, (B, d).
        weighted: sum of residual * x_j, (B, d).
        residual: sum of residuals, (B, 1).
        n_ratings: number of ratings, (B, 1).
    """

    chosen: Tensor
    liked: Tensor
    weighted: Tensor
    residual: Tensor
    n_ratings: Tensor


class Histories(ABC):
    """The histories of all users, or of all items.

    Attributes:
        counts: int64 (n,); number of ratings of each row.
        device: the device of the ratings.
        rows_per_chunk: number of rows whose sums fit into memory at once.
    """

    counts: Tensor
    rows_per_chunk: int

    @property
    def device(self) -> torch.device:
        """The device of the ratings."""
        return self.counts.device

    @abstractmethod
    def sums(self, rows: Tensor, chosen: Tensor, liked: Tensor) -> Sums:
        """Return sums for rows (B,), from tables y and x, both (n_columns, d)."""

    @abstractmethod
    def of_pairs(self, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Return, for rows (B,) and columns (B,), whether there is a rating, and its residual.

        Both are float32 (B, 1). Without a rating, both are 0.
        """

    @abstractmethod
    def are_rated(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Return 1 where one of rows (B,) has a rating in one of columns (C,), else 0: float32 (B, C)."""


class HistoryLists(Histories):
    """Histories as lists: ratings sorted by row and column.

    Args:
        keys: int64 (n,); row index * n_columns + column index, ascending.
        residuals: float32 (n,); ratings minus the mean and the column bias.
        starts: int64 (n_rows + 1,); the ratings of row u are at positions `starts[u]:starts[u + 1]`.
        n_columns: number of columns.
    """

    def __init__(self, keys: Tensor, residuals: Tensor, starts: Tensor, n_columns: int) -> None:
        self.keys, self.residuals, self.starts, self.n_columns = keys, residuals, starts, n_columns
        self.column_of = (keys % n_columns).int()
        self.counts = starts.diff()
        each = torch.arange(len(keys), device=keys.device)
        self.residual_sums = embedding_bag(each, residuals[:, None], starts[:-1], mode="sum")  # (n_rows, 1)
        self.rows_per_chunk = max(1, RATINGS_PER_CHUNK * len(self.counts) // max(1, len(keys)))
        self._placed: Histories | None = None  # a copy on the device that was asked for last

    @classmethod
    def of(cls, rows: NDArray, columns: NDArray, residuals: NDArray, n_rows: int, n_columns: int) -> Self:
        """Sort ratings given in any order; row indices, column indices and residuals are all (n,)."""
        keys = rows.astype(np.int64) * n_columns + columns
        order = np.argsort(keys, kind="stable")
        sorted_residuals = torch.from_numpy(residuals[order].astype(np.float32))
        return cls(torch.from_numpy(keys[order]), sorted_residuals, row_starts(rows, n_rows), n_columns)

    def on(self, device: torch.device) -> Histories:
        """Return the ratings on a device, in the form that is fast there; copied when the device changes."""
        if device == self.device:
            return self
        if self._placed is None or self._placed.device != device:
            self._placed = self._copy(device)
        return self._placed

    def _copy(self, device: torch.device) -> Histories:
        keys, residuals = self.keys.to(device), self.residuals.to(device)
        n_rows = len(self.counts)
        if 5 * n_rows * self.n_columns <= MAX_MATRIX_BYTES:
            return HistoryMatrix(keys, residuals, n_rows, self.n_columns)
        return HistoryLists(keys, residuals, self.starts.to(device), self.n_columns)

    @torch.compiler.disable  # sizes depend on the rows
    def sums(self, rows: Tensor, chosen: Tensor, liked: Tensor) -> Sums:
        """Return the sums of rows (B,); on a CPU, the sums of a row that occurs several times are computed once."""
        if self.device.type != "cpu":  # `unique` would synchronise with the device
            return self._sums(rows.long(), chosen, liked)
        distinct, position = rows.long().unique(return_inverse=True)
        return Sums(*(values.index_select(0, position) for values in self._sums(distinct, chosen, liked)))

    def of_pairs(self, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Return whether pairs were rated, and their residuals; see `Histories`."""
        keys = rows.long() * self.n_columns + columns
        found = torch.searchsorted(self.keys, keys).clamp_max(len(self.keys) - 1)
        is_rated = (self.keys[found] == keys).float()[:, None]
        return is_rated, is_rated * self.residuals[found, None]

    @torch.compiler.disable  # sizes depend on the rows
    def are_rated(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Return whether rows have ratings in columns; see `Histories`. Takes time in proportion to their ratings."""
        distinct_rows, row_position = rows.long().unique(return_inverse=True)
        distinct, column_position = columns.long().unique(return_inverse=True)
        place = torch.full((self.n_columns,), len(distinct), device=rows.device)
        place[distinct] = torch.arange(len(distinct), device=rows.device)
        positions, _, counts = self._positions(distinct_rows)
        each_row = torch.arange(len(distinct_rows), device=rows.device).repeat_interleave(
            counts, output_size=len(positions)
        )
        # Ratings of other columns go to an additional last column.
        # Not bool: selecting columns of float32 takes an eighth of the time.
        rated = torch.zeros(len(distinct_rows), len(distinct) + 1, device=rows.device)
        rated[each_row, place.index_select(0, self.column_of.index_select(0, positions))] = 1
        return rated.index_select(0, row_position).index_select(1, column_position)

    def _sums(self, rows: Tensor, chosen: Tensor, liked: Tensor) -> Sums:
        positions, offsets, counts = self._positions(rows)
        # index_select takes a quarter of the time of indexing with brackets for many positions.
        columns, residuals = (
            self.column_of.index_select(0, positions),
            self.residuals.index_select(0, positions),
        )
        bags = BagIndex(columns, offsets.int(), self.n_columns)
        chosen_sum, liked_sum = bag_sums(torch.cat([chosen, liked], dim=1), bags).chunk(2, dim=1)
        weighted = bag_sums(liked, bags, residuals)
        return Sums(chosen_sum, liked_sum, weighted, self.residual_sums[rows], counts[:, None].float())

    def _positions(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return where the ratings of rows (B,) are, where those of each row start in that, and how many it has."""
        first = self.starts[rows]
        counts = self.starts[rows + 1] - first
        offsets = counts.cumsum(0) - counts
        positions = torch.arange(
            int(counts.sum()), device=rows.device
        )  # synchronises with a GPU, once per step
        positions = positions + (first - offsets).repeat_interleave(counts, output_size=len(positions))
        return positions, offsets, counts


class HistoryMatrix(Histories):
    """Histories as a dense matrix.

    Args:
        keys: int64 (n,); row index * n_columns + column index.
        residuals: float32 (n,); ratings minus the mean and the column bias.
        n_rows: number of rows.
        n_columns: number of columns.
    """

    def __init__(self, keys: Tensor, residuals: Tensor, n_rows: int, n_columns: int) -> None:
        device = keys.device
        self.rated = torch.zeros(n_rows * n_columns, dtype=torch.bool, device=device)
        self.residuals = torch.zeros(n_rows * n_columns, device=device)
        self.rated[keys], self.residuals[keys] = True, residuals
        self.rated, self.residuals = (
            self.rated.view(n_rows, n_columns),
            self.residuals.view(n_rows, n_columns),
        )
        self.counts = self.rated.sum(1)
        self.residual_sums = self.residuals.sum(1, keepdim=True)
        self.rows_per_chunk = max(1, CELLS_PER_CHUNK // n_columns)

    def sums(self, rows: Tensor, chosen: Tensor, liked: Tensor) -> Sums:
        """Return the sums of rows (B,), as products of their rows (B, n_columns) and the tables."""
        rated = self.rated.index_select(0, rows).to(liked.dtype)
        device = rows.device.type
        is_mixed = device != "meta" and torch.is_autocast_enabled(device)
        # Sums over hundreds of columns need float32.
        with torch.autocast(device, enabled=False) if is_mixed else nullcontext():
            sums = rated @ torch.cat([chosen, liked], dim=1)
            weighted = self.residuals.index_select(0, rows) @ liked
        chosen_sum, liked_sum = sums.chunk(2, dim=1)
        residual, count = self.residual_sums.index_select(0, rows), self.counts.index_select(0, rows)
        return Sums(chosen_sum, liked_sum, weighted, residual, count[:, None].float())

    def of_pairs(self, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Return whether pairs were rated, and their residuals; see `Histories`."""
        return self.rated[rows, columns].float()[:, None], self.residuals[rows, columns][:, None]

    def are_rated(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Return whether rows have ratings in columns; see `Histories`."""
        return self.rated.index_select(0, rows).index_select(1, columns).float()
