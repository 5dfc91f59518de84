from types import SimpleNamespace

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from support.datasets import dataset_of

from recsys.data.batches import Batch, Shuffle, count_cold
from recsys.data.datamodule import MovieLensDataModule
from recsys.data.dataset import Dataset
from recsys.data.sources.base import Source
from recsys.data.splits import Split, SplitMethod
from recsys.errors import ConfigError, DataError

# User 2 and item 5 have no training rating.
DATASET = dataset_of([0, 0, 1, 1, 0, 2, 1])
SPLIT = Split(np.array([0, 1, 2, 3]), np.array([4, 5]), np.array([6]))


class CountingSource(Source):
    """A source that counts how often it is loaded."""

    name = "counting"

    def __init__(self) -> None:
        self.loads = 0

    def load(self) -> Dataset:
        self.loads += 1
        return DATASET


class FixedSplit(SplitMethod):
    """A split with given rows."""

    def __call__(self, dataset: Dataset) -> Split:
        return SPLIT


@pytest.fixture
def data() -> MovieLensDataModule:
    data = MovieLensDataModule(CountingSource(), FixedSplit(), batch_size=3, seed=5)
    data.setup()
    return data


def rows_of(batches: object) -> list[int]:
    """Return the row numbers of the ratings, which are the item indices in this data."""
    return [row for batch in batches for row in batch.items.tolist()]


def attach_trainer(data: MovieLensDataModule, global_rank: int, world_size: int) -> None:
    """Attach what the data module reads of a Trainer."""
    strategy = SimpleNamespace(root_device=torch.device("cpu"))
    data.trainer = SimpleNamespace(strategy=strategy, global_rank=global_rank, world_size=world_size)


def test_data_is_loaded_once(data: MovieLensDataModule) -> None:
    for stage in ("fit", "validate", "test"):
        data.prepare_data()
        data.setup(stage)
    assert data.source.loads == 1
    other = MovieLensDataModule(CountingSource(), FixedSplit(), 3)
    other.prepare_data()
    assert other.source.loads == 1
    assert not other.is_set_up


def test_source_and_split_may_be_names() -> None:
    data = MovieLensDataModule("ml-100k", split="kfold")
    assert data.source.name == "ml-100k"
    assert data.split_method.describe().startswith("kfold(")
    with pytest.raises(ConfigError, match="ml-101k"):
        MovieLensDataModule("ml-101k")


@pytest.mark.parametrize(
    ("train", "rows", "n_cold"),
    [
        ([0, 1, 2, 3], [4, 5, 6], 3),  # all three items are new
        ([0, 1, 2, 3], [0, 3], 0),
        ([0, 1, 2, 3], [0, 5, 3], 1),
        ([4], [4], 0),
        ([4], [0, 1], 2),
    ],
)
def test_ratings_of_untrained_users_or_items_are_counted(
    train: list[int], rows: list[int], n_cold: int
) -> None:
    assert count_cold(DATASET, np.array(train), np.array(rows)) == n_cold


def test_each_loader_yields_its_subset(data: MovieLensDataModule) -> None:
    assert sorted(rows_of(data.train_dataloader())) == [0, 1, 2, 3]
    assert rows_of(data.val_dataloader()) == [4, 5]
    assert rows_of(data.test_dataloader()) == [6]
    assert rows_of(data.predict_dataloader()) == [6]
    for subset, rows in (("train", [0, 1, 2, 3]), ("val", [4, 5]), ("test", [6])):
        assert rows_of(data.full(subset)) == rows
    assert [len(batch.users) for batch in data.train_dataloader()] == [3, 1]
    first = next(iter(data.test_dataloader()))
    assert [column.tolist() for column in first] == [[1], [6], [2]]


def test_processes_share_the_rows(data: MovieLensDataModule) -> None:
    train, val = [], []
    for rank in range(2):
        attach_trainer(data, rank, 2)
        train.append(rows_of(data.train_dataloader()))
        val.append(rows_of(data.val_dataloader()))
        assert rows_of(data.full("val")) == [4, 5]
    assert [len(rows) for rows in train] == [2, 2]
    assert sorted(train[0] + train[1]) == [0, 1, 2, 3]
    assert val == [[4], [5]]


def test_every_process_needs_a_rating(data: MovieLensDataModule) -> None:
    attach_trainer(data, 0, 3)
    with pytest.raises(DataError, match=r"the val set has 2 ratings for 3 processes"):
        data.val_dataloader()
    with pytest.raises(DataError, match=r"the test set has 1 ratings for 3 processes"):
        data.test_dataloader()


class Recorder(pl.LightningModule):
    """Records the rows it sees in each epoch, and learns nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: dict[str, list[list[int]]] = {"train": [], "val": [], "test": []}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def record(self, subset: str, batch: Batch, number: int) -> None:
        if number == 0:
            self.seen[subset].append([])
        self.seen[subset][-1] += batch.items.tolist()

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        self.record("train", batch, batch_idx)
        return self.weight * batch.ratings.sum()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.record("val", batch, batch_idx)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self.record("test", batch, batch_idx)


def test_lightning_sees_every_row_in_a_new_order_each_epoch(data: MovieLensDataModule) -> None:
    recorder = Recorder()
    trainer = pl.Trainer(
        max_epochs=3,
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(recorder, data)
    trainer.test(recorder, data, verbose=False)
    order, expected = Shuffle(4, seed=5), []
    for epoch in range(3):
        order.set_epoch(epoch)
        expected.append(order.permutation().tolist())
    assert recorder.seen == {"train": expected, "val": [[4, 5]] * 3, "test": [[6]]}
    assert len({tuple(rows) for rows in expected}) > 1
    assert data.source.loads == 1
