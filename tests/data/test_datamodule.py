from types import SimpleNamespace

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from support.datasets import dataset_of

from recsys.data.batches import Batch, Shuffle, count_cold
from recsys.data.datamodule import MovieLensDataModule
from recsys.data.dataset import Dataset
from recsys.data.splits import Split
from recsys.errors import DataError

# User 2 and item 5 have no training rating.
DATASET = dataset_of([0, 0, 1, 1, 0, 2, 1])
SPLIT = Split(np.array([0, 1, 2, 3]), np.array([4, 5]), np.array([6]))


class Counting:
    """A source that counts how often it is asked."""

    def __init__(self) -> None:
        self.loads = 0

    def load(self) -> Dataset:
        self.loads += 1
        return DATASET


@pytest.fixture
def module() -> MovieLensDataModule:
    module = MovieLensDataModule(Counting(), lambda _: SPLIT, batch_size=3, seed=5)
    module.setup()
    return module


def rows_in(batches: object) -> list[int]:
    """Row numbers of the ratings; in these data they are the item rows too."""
    return [row for batch in batches for row in batch.items.tolist()]


def test_the_data_are_loaded_once(module: MovieLensDataModule) -> None:
    for stage in ("fit", "validate", "test"):
        module.prepare_data()
        module.setup(stage)
    assert module.source.loads == 1
    fresh = MovieLensDataModule(Counting(), lambda _: SPLIT, 3)
    fresh.prepare_data()
    assert (fresh.source.loads, fresh.dataset) == (1, None)


def test_facts_are_of_the_training_part(module: MovieLensDataModule) -> None:
    assert module.trained_users.tolist() == [True, True, False]
    assert module.trained_items.tolist() == [True] * 4 + [False] * 3
    assert module.mean == (1 + 2 + 3 + 4) / 4


@pytest.mark.parametrize(
    ("train", "asked", "cold"),
    [
        ([0, 1, 2, 3], [4, 5, 6], 3),  # all three items are new
        ([0, 1, 2, 3], [0, 3], 0),
        ([0, 1, 2, 3], [0, 5, 3], 1),
        ([4], [4], 0),
        ([4], [0, 1], 2),
    ],
)
def test_ratings_without_a_trained_user_or_item_are_counted(
    train: list[int], asked: list[int], cold: int
) -> None:
    assert count_cold(Counting().load(), np.array(train), np.array(asked)) == cold


def test_each_loader_gives_its_part(module: MovieLensDataModule) -> None:
    assert sorted(rows_in(module.train_dataloader())) == [0, 1, 2, 3]
    assert rows_in(module.val_dataloader()) == [4, 5]
    assert rows_in(module.test_dataloader()) == [6]
    for part, rows in (("train", [0, 1, 2, 3]), ("val", [4, 5]), ("test", [6])):
        assert rows_in(module.whole(part)) == rows
    assert [len(batch.users) for batch in module.train_dataloader()] == [3, 1]
    first = next(iter(module.test_dataloader()))
    assert [column.tolist() for column in first] == [[1], [6], [2]]


def test_processes_share_training_and_validation(module: MovieLensDataModule) -> None:
    train, val = [], []
    for rank in range(2):
        device = SimpleNamespace(root_device=torch.device("cpu"))
        module.trainer = SimpleNamespace(strategy=device, global_rank=rank, world_size=2)
        train.append(rows_in(module.train_dataloader()))
        val.append(rows_in(module.val_dataloader()))
        assert rows_in(module.test_dataloader()) == [6]
        assert rows_in(module.whole("val")) == [4, 5]
    assert [len(rows) for rows in train] == [2, 2]
    assert sorted(train[0] + train[1]) == [0, 1, 2, 3]
    assert val == [[4], [5]]


def test_every_process_needs_a_pair_to_validate(module: MovieLensDataModule) -> None:
    device = SimpleNamespace(root_device=torch.device("cpu"))
    module.trainer = SimpleNamespace(strategy=device, global_rank=0, world_size=3)
    with pytest.raises(DataError) as told:
        module.val_dataloader()
    assert str(told.value) == (
        "split: the val part has 2 ratings for 3 processes; fewer hardware.devices or a larger split.val"
    )


class Recorder(pl.LightningModule):
    """Learns nothing, and writes down the rows it sees in each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: dict[str, list[list[int]]] = {"train": [], "val": [], "test": []}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def note(self, part: str, batch: Batch, number: int) -> None:
        if number == 0:
            self.seen[part].append([])
        self.seen[part][-1] += batch.items.tolist()

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        self.note("train", batch, batch_idx)
        return self.weight * batch.ratings.sum()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.note("val", batch, batch_idx)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self.note("test", batch, batch_idx)


def test_lightning_gets_every_row_in_a_new_order_each_epoch(module: MovieLensDataModule) -> None:
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
    trainer.fit(recorder, module)
    trainer.test(recorder, module, verbose=False)
    order, expected = Shuffle(4, seed=5), []
    for epoch in range(3):
        order.set_epoch(epoch)
        expected.append(order.permutation().tolist())
    assert recorder.seen == {"train": expected, "val": [[4, 5]] * 3, "test": [[6]]}
    assert len({tuple(rows) for rows in expected}) > 1
    assert module.source.loads == 1
