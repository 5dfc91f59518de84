"""MovieLensDataModule: download, encoding, split and batches as a LightningDataModule."""

from collections.abc import Callable

import pytorch_lightning as pl
import torch
from torch import Tensor

from recsys.data.batches import EVALUATION_BATCH, Batch, Batches, Shuffle, to_tensors
from recsys.data.dataset import Dataset
from recsys.data.load import load_dataset, split_dataset
from recsys.data.named import source_by_name, split_by_name
from recsys.data.sources.base import Source
from recsys.data.splits import Rows, Split, SplitMethod
from recsys.errors import DataError


class MovieLensDataModule(pl.LightningDataModule):
    """Ratings for a Trainer: every subset of the split as tensors on the training device.

    `setup` may be called before there is a Trainer. Afterwards `dataset` and `split` are set, from which
    `from_data` of a network takes the number of users and items.

    Args:
        source: a data set, or its name as in data=ml-100k.
        split: how ratings are split, or its name as in split=random.
        batch_size: ratings of a training batch, per process.
        seed: of the shuffling.
        ranking_k: recommendations per user in ranking metrics; 0: no ranking metrics.
        ranking_threshold: the lowest relevant rating; None: three quarters up the scale.
    """

    dataset: Dataset
    split: Split
    fingerprint: str  # of the split

    def __init__(
        self,
        source: Source | str = "ml-100k",
        split: SplitMethod | str = "random",
        batch_size: int = 1000,
        seed: int = 1,
        ranking_k: int = 10,
        ranking_threshold: float | None = None,
    ) -> None:
        super().__init__()
        self.source = source_by_name(source) if isinstance(source, str) else source
        self.split_method = split_by_name(split) if isinstance(split, str) else split
        self.batch_size, self.seed = batch_size, seed
        self.ranking_k, self.ranking_threshold = ranking_k, ranking_threshold
        self.is_set_up = False
        # Which training ratings batches are made of, given ratings and scale; `RatingModule` sets that of its loss.
        self.selected: Callable[[Tensor, tuple[float, float]], Tensor | None] | None = None

    def prepare_data(self) -> None:
        """Download and encode, if that has not been done on this machine."""
        if not self.is_set_up:
            load_dataset(self.source)

    def setup(self, stage: str = "fit") -> None:
        """Load and split; a second call changes nothing."""
        if not self.is_set_up:
            self.dataset = load_dataset(self.source)
            self.split = split_dataset(self.split_method, self.dataset)
            self.fingerprint = self.split.fingerprint
            self.is_set_up = True

    def train_on_validation_set(self) -> None:
        """Add the validation set to the training set; `fingerprint` stays that of the original split."""
        self.split = self.split.train_on_validation_set()

    def train_dataloader(self) -> Batches:
        """Return the training set, shuffled in each epoch; each process sees its share.

        With `overfit_batches` of the Trainer, it is not shuffled, so that each epoch has the same batches.

        Raises:
            DataError: no training rating is positive, as a ranking loss needs.
        """
        columns = self._columns(self.train_rows())
        process_rank, world_size = self._process()
        if getattr(self.trainer, "overfit_batches", 0) > 0:
            own = Batch(*(column[process_rank::world_size] for column in columns))
            return Batches(own, self.batch_size)
        order = Shuffle(len(columns.ratings), self.seed, columns.ratings.device, process_rank, world_size)
        return Batches(columns, self.batch_size, order)

    def train_rows(self) -> Rows:
        """Return the rows of the training set that batches are made of; see `selected`.

        Raises:
            DataError: no training rating is positive, as a ranking loss needs.
        """
        rows = self.split.train
        if self.selected is None:
            return rows
        kept = self.selected(torch.from_numpy(self.dataset.ratings[rows]), self.dataset.scale)
        if kept is None:
            return rows
        if not kept.any():
            raise DataError(
                "ranking.threshold: no rating of the training set is that high, so a ranking loss has nothing to "
                "learn; use a lower ranking.threshold, or loss.positives=all"
            )
        return rows[kept.numpy()]

    def val_dataloader(self) -> Batches:
        """Return the validation set in order; with several processes, each rating goes to exactly one."""
        return self._share("val")

    def test_dataloader(self) -> Batches:
        """Return the test set in order; with several processes, each rating goes to exactly one."""
        return self._share("test")

    def predict_dataloader(self) -> Batches:
        """Return the test set in order, as for `test_dataloader`."""
        return self._share("test")

    def full(self, subset: str) -> Batches:
        """Return all of a subset ("train", "val" or "test") in order; each process returns all of it."""
        return self._in_order(getattr(self.split, subset))

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Return the batch: its columns are on the device already."""
        return batch

    def _share(self, subset: str) -> Batches:
        """Return this process's share of a subset.

        Raises:
            DataError: there are more processes than ratings.
        """
        process_rank, world_size = self._process()
        rows = getattr(self.split, subset)
        if len(rows) < world_size:  # Lightning does not accept an empty share
            raise DataError(
                f"split: the {subset} set has {len(rows)} ratings for {world_size} processes; "
                f"use fewer hardware.devices or a larger split.{subset}"
            )
        return self._in_order(rows[process_rank::world_size])

    def _in_order(self, rows: Rows) -> Batches:
        return Batches(self._columns(rows), max(self.batch_size, EVALUATION_BATCH))

    def _columns(self, rows: Rows) -> Batch:
        device = self.trainer.strategy.root_device if self.trainer is not None else "cpu"
        return to_tensors(self.dataset, rows, device)

    def _process(self) -> tuple[int, int]:
        """Return the rank of this process and the number of processes."""
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)
