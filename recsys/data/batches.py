"""Batches from tensors on a device: an epoch is a permutation, a batch is a slice."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recsys.data.dataset import Dataset
from recsys.data.seeds import seed_for
from recsys.data.splits import Rows

EVALUATION_BATCH = 16_384  # no activations are kept for a backward pass, so larger batches fit into memory


class Batch(NamedTuple):
    """B ratings: user indices int32 (B,), item indices int32 (B,), ratings float32 (B,)."""

    users: Tensor
    items: Tensor
    ratings: Tensor


def to_tensors(dataset: Dataset, rows: Rows, device: torch.device | str) -> Batch:
    """Return the given rows of a dataset as one large batch on a device."""
    columns = (dataset.users, dataset.items, dataset.ratings)
    with ThreadPoolExecutor() as pool:
        return Batch(*pool.map(lambda column: torch.from_numpy(column[rows]).to(device), columns))


def present(index: NDArray[np.int32], n: int) -> Tensor:
    """Return which of the numbers 0 to n-1 occur in `index`: bool (n,)."""
    found = torch.zeros(n, dtype=torch.bool)
    found[torch.from_numpy(index)] = True
    return found


def row_starts(index: NDArray, n: int) -> Tensor:
    """Return the row offsets of `index` in CSR format (`indptr`): int64 (n + 1,).

    In a sorted `index`, the entries with the value i are at positions starts[i] to starts[i + 1] - 1.
    """
    return torch.from_numpy(np.concatenate([[0], np.cumsum(np.bincount(index, minlength=n))]))


def count_cold(dataset: Dataset, train: Rows, rows: Rows) -> int:
    """Return the number of ratings whose user or item has no training rating.

    Args:
        dataset: all ratings.
        train: rows of the training set.
        rows: rows of the ratings to count.
    """
    users = present(dataset.users[train], len(dataset.user_ids))[dataset.users[rows]]
    items = present(dataset.items[train], len(dataset.item_ids))[dataset.items[rows]]
    return int((~(users & items)).sum())


class Shuffle:
    """A sampler that shuffles the rows in each epoch, independently of earlier epochs.

    Lightning passes the epoch to a loader's `sampler` through `set_epoch`, so a resumed run has the same order of rows
    as an uninterrupted one.

    Args:
        n: number of rows.
        seed: seed of the permutations.
        device: where permutations are drawn; CPU and CUDA draw different ones.
        process_rank: rank of this process.
        world_size: number of processes. Each gets every `world_size`-th row of the same permutation. All get the
            same number of rows: if `n` is not divisible by `world_size`, up to `world_size` - 1 rows are repeated.
    """

    def __init__(
        self,
        n: int,
        seed: int,
        device: torch.device | str = "cpu",
        process_rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.n, self.seed, self.device = n, seed, torch.device(device)
        self.process_rank, self.world_size = process_rank, world_size
        self.epoch = 0

    def __len__(self) -> int:
        return -(-self.n // self.world_size)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next permutation."""
        self.epoch = epoch

    def permutation(self) -> Tensor:
        """Return this process's rows in the order of the epoch; int64 (len(self),)."""
        generator = torch.Generator(self.device).manual_seed(seed_for(self.seed, "shuffle", self.epoch))
        order = torch.randperm(self.n, generator=generator, device=self.device)
        needed = len(self) * self.world_size
        return order.repeat(-(-needed // self.n))[self.process_rank : needed : self.world_size]


class Batches:
    """An iterable of batches, each a view into columns that are on the device already.

    An interrupted epoch resumes after the batches already processed (`state_dict`).

    Args:
        columns: all ratings, as one batch.
        batch_size: number of ratings in a batch; the last batch may have fewer, and no rating is dropped.
        sampler: shuffles the ratings; None keeps their order.
    """

    batch_sampler = None  # Lightning reads it from any loader that has a sampler

    def __init__(self, columns: Batch, batch_size: int, sampler: Shuffle | None = None) -> None:
        self.columns, self.batch_size, self.sampler = columns, batch_size, sampler
        self._yielded = self._skip = 0  # batches yielded in this epoch; batches to skip in the next one

    def state_dict(self) -> dict[str, int]:
        """Return the number of batches yielded in the current epoch; Lightning saves it."""
        return {"batches": self._yielded % len(self)}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Skip the saved number of batches at the start of the next epoch."""
        self._skip = state["batches"]

    def __len__(self) -> int:
        rows = len(self.columns.ratings) if self.sampler is None else len(self.sampler)
        return -(-rows // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        columns = self.columns
        if self.sampler is not None:
            order = self.sampler.permutation()
            columns = Batch(*(column[order] for column in columns))  # one gather an epoch; batches are views
        self._yielded, self._skip = self._skip, 0
        for start in range(self._yielded * self.batch_size, len(columns.ratings), self.batch_size):
            self._yielded += 1
            yield Batch(*(column[start : start + self.batch_size] for column in columns))
