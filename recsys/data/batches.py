"""Tensors on a device to shuffled slices: an epoch is a permutation, a batch is a slice."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recsys.data.dataset import Dataset
from recsys.data.splits import Rows
from recsys.seeds import seed_for


class Batch(NamedTuple):
    """B ratings: user rows int32 (B,), item rows int32 (B,), ratings float32 (B,)."""

    users: Tensor
    items: Tensor
    ratings: Tensor


def to_tensors(dataset: Dataset, rows: Rows, device: torch.device | str) -> Batch:
    """The given rows of a dataset as one big batch on a device."""
    columns = (dataset.users, dataset.items, dataset.ratings)
    with ThreadPoolExecutor() as pool:
        return Batch(*pool.map(lambda column: torch.from_numpy(column[rows]).to(device), columns))


def present(rows: NDArray[np.int32], n: int) -> Tensor:
    """Which of the numbers 0 to n-1 are among `rows`: bool (n,)."""
    found = torch.zeros(n, dtype=torch.bool)
    found[torch.from_numpy(rows)] = True
    return found


def count_cold(dataset: Dataset, train: Rows, rows: Rows) -> int:
    """How many ratings have a user or a item without a single training rating.

    Args:
        dataset: all ratings.
        train: row numbers of the training part.
        rows: row numbers of those that are counted.
    """
    users = present(dataset.users[train], len(dataset.user_ids))[dataset.users[rows]]
    items = present(dataset.items[train], len(dataset.item_ids))[dataset.items[rows]]
    return int((~(users & items)).sum())


class Shuffle:
    """The order of an epoch's rows, decided by seed and epoch alone.

    Lightning tells a loader's `sampler` the epoch, in `set_epoch`; so a resumed run sees the same orders.

    Args:
        n: how many rows.
        seed: of the permutations.
        device: where they are drawn.
        rank: which of `world` processes this one is.
        world: how many processes share the rows. Each gets every `world`-th row of the same permutation, and
            as many as the others: where that does not come out even, up to `world` - 1 rows are seen twice.
    """

    def __init__(
        self, n: int, seed: int, device: torch.device | str = "cpu", rank: int = 0, world: int = 1
    ) -> None:
        self.n, self.seed, self.device, self.rank, self.world = n, seed, torch.device(device), rank, world
        self.epoch = 0

    def __len__(self) -> int:
        return -(-self.n // self.world)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next permutation is for."""
        self.epoch = epoch

    def permutation(self) -> Tensor:
        """Row numbers of this process in the order of this epoch; int64 (len(self),)."""
        generator = torch.Generator(self.device).manual_seed(seed_for(self.seed, "shuffle", self.epoch))
        order = torch.randperm(self.n, generator=generator, device=self.device)
        needed = len(self) * self.world
        return order.repeat(-(-needed // self.n))[self.rank : needed : self.world]


class Batches:
    """An iterable of batches, each a view into columns that lie on the device already.

    An epoch that was broken off can go on after the batches it has seen (`state_dict`).

    Args:
        columns: all rows.
        batch_size: rows of a batch; the last one may have fewer, and no row is left out.
        sampler: their order; None: as they are.
    """

    batch_sampler = None  # Lightning asks whatever has a sampler for this too

    def __init__(self, columns: Batch, batch_size: int, sampler: Shuffle | None = None) -> None:
        self.columns, self.batch_size, self.sampler = columns, batch_size, sampler
        self._given = self._start = 0  # batches of this epoch, and those of it to leave out

    def state_dict(self) -> dict[str, int]:
        """How many batches of the epoch have been given out; Lightning saves it."""
        return {"batches": self._given % len(self)}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Leave out as many batches of the next epoch."""
        self._start = state["batches"]

    def __len__(self) -> int:
        rows = len(self.columns.ratings) if self.sampler is None else len(self.sampler)
        return -(-rows // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        columns = self.columns
        if self.sampler is not None:
            order = self.sampler.permutation()
            columns = Batch(*(column[order] for column in columns))  # one gather an epoch; batches are views
        self._given, self._start = self._start, 0
        for start in range(self._given * self.batch_size, len(columns.ratings), self.batch_size):
            self._given += 1
            yield Batch(*(column[start : start + self.batch_size] for column in columns))
