"""MovieLensDataModule: the Lightning glue over fetching, encoding, splitting and batching."""

from collections.abc import Callable
from typing import Protocol

import pytorch_lightning as pl
import torch

from recsys.data.batches import Batch, Batches, Shuffle, present, to_tensors
from recsys.data.dataset import Dataset
from recsys.data.splits import Rows, Split
from recsys.errors import DataError


class Source(Protocol):
    """Where a dataset comes from: a MovieLens release, a file, or a generator."""

    def load(self) -> Dataset:
        """The encoded dataset; cheap when called again."""


class MovieLensDataModule(pl.LightningDataModule):
    """Ratings for a trainer: every part of the split as tensors on the training device.

    `setup` may be called before there is a trainer, and its facts (`dataset`, `split`, the trained rows) are
    then there for building a network of the right size.

    Args:
        source: where the ratings come from.
        split: from a dataset to its parts.
        batch_size: ratings of a training batch, per process.
        seed: of the shuffling.
    """

    def __init__(
        self, source: Source, split: Callable[[Dataset], Split], batch_size: int, seed: int = 0
    ) -> None:
        super().__init__()
        self.source, self.split_by = source, split
        self.batch_size, self.seed = batch_size, seed
        self.dataset: Dataset | None = None

    def prepare_data(self) -> None:
        """Fetch and encode, if that has not been done on this machine."""
        if self.dataset is None:
            self.source.load()

    def setup(self, stage: str = "fit") -> None:
        """Load and split; a second call changes nothing."""
        if self.dataset is not None:
            return
        self.dataset = dataset = self.source.load()
        self.split = self.split_by(dataset)
        train = self.split.train
        self.trained_users = present(dataset.users[train], len(dataset.user_ids))
        self.trained_items = present(dataset.items[train], len(dataset.item_ids))
        self.mean = float(dataset.ratings[train].mean(dtype="float64"))

    def train_dataloader(self) -> Batches:
        """Shuffled anew each epoch; each process sees its share."""
        columns = self._columns(self.split.train)
        rank, world = self._place()
        order = Shuffle(len(columns.ratings), self.seed, columns.ratings.device, rank, world)
        return Batches(columns, self.batch_size, order)

    def val_dataloader(self) -> Batches:
        """In order; with several processes, each pair is in exactly one.

        Raises:
            DataError: there are more processes than pairs.
        """
        rank, world = self._place()
        if (n := len(self.split.val)) < world:  # Lightning takes no empty share
            raise DataError(
                f"split: the val part has {n} ratings for {world} processes; "
                "fewer hardware.devices or a larger split.val"
            )
        return self._in_order(self.split.val[rank::world])

    def whole(self, part: str) -> Batches:
        """All of one part ("train", "val", "test"), in order, whatever process asks."""
        return self._in_order(getattr(self.split, part))

    def test_dataloader(self) -> Batches:
        """All of the test part, in order: one process tests."""
        return self.whole("test")

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Nothing to do: the columns lie there already."""
        return batch

    def _in_order(self, rows: Rows) -> Batches:
        # Without gradients to keep, larger slices do the same work in fewer steps.
        return Batches(self._columns(rows), max(self.batch_size, 16_384))

    def _columns(self, rows: Rows) -> Batch:
        assert self.dataset is not None
        device = self.trainer.strategy.root_device if self.trainer is not None else "cpu"
        return to_tensors(self.dataset, rows, device)

    def _place(self) -> tuple[int, int]:
        if self.trainer is None:
            return 0, 1
        return self.trainer.global_rank, self.trainer.world_size
