"""Each class of examples/mypkg by itself, on known answers; test_own_code.py runs the commands of the page."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from omegaconf import DictConfig
from support.networks import all_pairs_data
from support.tiny import SMALL
from support.training import SendSignal, train_result

from recsys.config.validate import validate
from recsys.data.batches import Batch
from recsys.data.dataset import encode
from recsys.data.load import split_dataset
from recsys.errors import ConfigError, DataError, Stopped
from recsys.evaluation import RankedLists
from recsys.experiment.train import train
from recsys.runs.folder import checkpoint_in

Compose = Callable[..., DictConfig]
CHEAP = ["experiment=mine", *SMALL, "hardware=cpu", "logger=none"]


@pytest.fixture(autouse=True)
def importable(conf: str) -> None:
    """The tests import mypkg."""


def test_the_model_scores_users_by_their_distance_to_items() -> None:
    from mypkg import MyNet

    network = MyNet.from_data(all_pairs_data(), width=2)
    with torch.no_grad():
        network.user_bias.weight[1], network.item_bias.weight[2] = 0.5, 0.25
        network.user_vector.weight[1] = torch.tensor([1.0, 0.0])
        network.item_vector.weight[2] = torch.tensor([0.0, 2.0])
    assert network.logits(torch.tensor([1]), torch.tensor([2])).tolist() == [0.5 + 0.25 - (1 + 4)]


def test_the_model_is_better_than_user_and_item_biases(conf: str, compose: Compose, tmp_path: Path) -> None:
    cfg = compose(conf, "experiment=mine", "hardware=cpu", "logger=none")
    result = train_result(cfg, tmp_path / "run")
    assert result["time"]["epochs"] <= 10
    assert result["metrics"]["test/rmse"] < 0.8 * result["baselines"]["user-item-bias"]["test/rmse"]
    assert result["added_metrics"] == ["val/long-tail@10", "test/long-tail@10"]
    assert 0 < result["metrics"]["test/long-tail@10"] < 1


def test_the_loss_is_squared_for_small_errors_and_linear_for_large_ones() -> None:
    from mypkg import Huber

    batch = Batch(torch.tensor([0, 0]), torch.tensor([0, 1]), torch.tensor([3.5, 6.0]))
    errors = [0.5 * 0.5**2, 1.0 * (3.0 - 0.5 * 1.0)]
    assert float(Huber(delta=1.0)(lambda users, items: torch.full((2,), 3.0), batch)) == np.mean(errors)


def test_the_source_reads_one_rating_per_line(tmp_path: Path) -> None:
    from mypkg import JsonLines

    rows = [("ann", "tea", 4), ("ann", "milk", 2.5), ("bob", "tea", 1)]
    path = tmp_path / "ratings.jsonl"
    path.write_text(
        "\n".join(json.dumps({"user": user, "item": item, "rating": r}) for user, item, r in rows)
    )
    dataset = JsonLines(str(path)).load()
    users, items = dataset.user_ids.ids[dataset.users], dataset.item_ids.ids[dataset.items]
    assert list(zip(users, items, dataset.ratings.tolist(), strict=True)) == rows
    path.write_text('{"user": "ann", "item": "tea"}')
    with pytest.raises(
        DataError, match=r"ratings.jsonl: must have user, item and rating in each line .*rating"
    ):
        JsonLines(str(path)).load()
    for wrong in (6, "null"):
        path.write_text(
            "\n".join(f'{{"user": "ann", "item": "tea", "rating": {value}}}' for value in (5, 1, wrong))
        )
        with pytest.raises(DataError, match=r"ratings.jsonl line 3: rating must be from 1 to 5"):
            JsonLines(str(path)).load()
    assert list(JsonLines("none").check()) == ["data.path=none: no such file"]


def test_the_metric_is_the_share_of_items_that_are_not_popular() -> None:
    from mypkg import LongTail

    items = np.array([[0, 1], [0, -1]])  # of 5 items, of which item 0 is the most popular
    lists = RankedLists(2, np.arange(2), items, items == 1, np.array([1, 1]), np.array([9, 1, 1, 1, 1]), 2)
    assert LongTail(head=0.2)(lists) == pytest.approx(1 / 3)
    assert LongTail(head=0)(lists) == 1


def test_the_callback_continues_in_a_resumed_run(conf: str, compose: Compose, tmp_path: Path) -> None:
    cfg = compose(conf, *CHEAP, "max_epochs=2", "snapshots=1")
    with pytest.raises(Stopped, match=r"to resume: recsys-train run=.* resume=true trust=true$"):
        train(cfg, tmp_path / "run", callbacks=[SendSignal(6)])  # in the second epoch: one has 5 batches
    train_result(cfg, tmp_path / "run", resume=True)
    content = torch.load(checkpoint_in(tmp_path / "run", "last"), weights_only=True)
    assert len(content["callbacks"]["VectorLengths"]["lengths"]) == 2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.width=0", r"model\.width=0: should be greater than 0"),
        ("loss.delta=0", r"loss\.delta=0: should be greater than 0"),
        ("metrics.long-tail.head=x", r"metrics\.long-tail\.head=x: should be a valid number"),
        (
            "callbacks.lengths.tabel=x",
            r"callbacks\.lengths\.tabel=x: mypkg.VectorLengths has no argument 'tabel'",
        ),
        ("data=json-lines", r"data\.path: needs a value"),
    ],
)
def test_values_are_validated(conf: str, compose: Compose, override: str, message: str) -> None:
    plus = "+" if "tabel" in override else ""
    with pytest.raises(ConfigError, match=message):
        validate(compose(conf, "experiment=mine", f"{plus}{override}"))


def test_the_split_tests_on_the_last_days() -> None:
    from mypkg import LastDays

    days = np.array([0, 9, 1, 5, 3, 9, 8, 6])
    ids, ones = np.arange(len(days)), np.ones(len(days))
    rows = pd.DataFrame({"user": ids, "item": ids, "rating": ones, "timestamp": 86_400 * (days + 20_000)})
    items = pd.DataFrame({"item": ids, "title": None, "year": None, "genres": ""})
    dataset = encode("days", rows, items, (1, 5))
    split = split_dataset(LastDays(test_days=2, val_days=4), dataset)
    assert days[split.test].tolist() == [9, 9, 8]
    assert days[split.val].tolist() == [5, 6]
    assert days[split.train].tolist() == [0, 1, 3]
    unknown = encode("days", rows.assign(timestamp=0), items, (1, 5))
    with pytest.raises(DataError, match="requires the time of every rating"):
        LastDays()(unknown)
