"""RatingModule in plain Lightning scripts: fit, validate, test, predict, and loading from checkpoints."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from support.networks import TERMS, OwnNetwork
from support.training import synthetic_data

from recsys.data.datamodule import MovieLensDataModule
from recsys.data.sources.synthetic import Synthetic
from recsys.data.splits import RandomSplit
from recsys.errors import ConfigError, RunError
from recsys.evaluation.ranking_metrics import RankingTask
from recsys.models.base import RatingNetwork
from recsys.models.bias import Bias
from recsys.models.embedding_net import EmbeddingNet
from recsys.models.hybrid import HybridNet
from recsys.models.matrix_factorization import MatrixFactorization
from recsys.training.callbacks.snapshots import SnapshotEnsemble
from recsys.training.losses import BPR, Pointwise
from recsys.training.module import RatingModule
from recsys.training.regularization import L2Penalty
from recsys.training.schedules import Constant, CosineRestarts

NO_PENALTY = L2Penalty(0, 0)


def make_trainer(folder: Path, *callbacks: pl.Callback, **options: Any) -> pl.Trainer:
    return pl.Trainer(
        **{
            "accelerator": "cpu",
            "max_epochs": 3,
            "callbacks": list(callbacks),
            "default_root_dir": folder,
            "logger": False,
            "enable_checkpointing": bool(callbacks),
            "enable_progress_bar": False,
            "enable_model_summary": False,
            **options,
        }
    )


def best_checkpoint(folder: Path) -> ModelCheckpoint:
    return ModelCheckpoint(folder, "best", monitor="val/rmse", mode="min")


def errors_by_hand(predictions: list[torch.Tensor], data: MovieLensDataModule) -> dict[str, float]:
    error = torch.cat(predictions).double().numpy() - data.dataset.ratings[data.split.test]
    return {"test/rmse": np.sqrt(np.mean(error**2)), "test/mae": np.abs(error).mean()}


def test_trains_and_is_measured_by_any_trainer(tmp_path: Path) -> None:
    data = MovieLensDataModule(Synthetic(ratings=3000, users=60, items=50), RandomSplit(), batch_size=300)
    data.prepare_data()
    data.setup()
    network = EmbeddingNet.from_data(data, embedding_dim=8, hidden=[16], dropouts=0, embedding_dropout=0)
    module = RatingModule(network, lr=1e-2)
    trainer = make_trainer(tmp_path, best_checkpoint(tmp_path), max_epochs=4)
    (before,) = trainer.test(module, data, verbose=False)
    trainer.fit(module, data)
    assert {"train/loss", "val/rmse", "val/mae"} <= set(trainer.callback_metrics)
    after_last_epoch = float(trainer.callback_metrics["val/rmse"])
    (validated,) = trainer.validate(module, data, verbose=False)
    assert validated["val/rmse"] == pytest.approx(after_last_epoch)
    (tested,) = trainer.test(module, data, verbose=False)
    assert tested["test/rmse"] < before["test/rmse"]
    predictions = trainer.predict(module, data)
    assert tested == pytest.approx(errors_by_hand(predictions, data), rel=1e-6)
    assert module.training, "measuring does not change the mode of the module"


HISTORY = {"embedding_dim": 4, "hidden": [8], "user": TERMS, "item": TERMS}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network_class", "options"),
    [(EmbeddingNet, {"hidden": [8]}), (HybridNet, HISTORY), (OwnNetwork, {}), (Bias, {"head": "ordinal"})],
)
@pytest.mark.parametrize("snapshots", [1, 2])
def test_a_module_from_a_checkpoint_has_the_same_metrics(
    network_class: type[RatingNetwork], options: dict[str, Any], snapshots: int, tmp_path: Path
) -> None:
    data = synthetic_data(step=1)
    module = RatingModule(network_class.from_data(data, **options), lr=1e-2, schedule=CosineRestarts(1))
    ends = module.schedule.cycle_ends(3)
    last = ModelCheckpoint(tmp_path, "last", save_on_train_epoch_end=False)
    trainer = make_trainer(tmp_path, last, *([SnapshotEnsemble(snapshots, ends)] if snapshots > 1 else []))
    trainer.fit(module, data)
    (expected,) = trainer.test(module, data, verbose=False)
    predictions = torch.cat(trainer.predict(module, data))
    own = {f"{network_class.__module__}.{network_class.__qualname__}"}
    loaded = RatingModule.load_from_checkpoint(tmp_path / "last.ckpt", trust=own)
    assert (loaded.lr, loaded.seed) == (1e-2, 1)
    assert len(loaded.evaluation.snapshots) == snapshots - 1
    trainer = make_trainer(tmp_path)
    (found,) = trainer.test(loaded, synthetic_data(step=1), verbose=False)
    assert found == pytest.approx(expected, rel=1e-6)
    torch.testing.assert_close(torch.cat(trainer.predict(loaded, data)), predictions)


def test_lightning_restores_the_best_weights_for_a_test(tmp_path: Path) -> None:
    data = synthetic_data()
    module = RatingModule(Bias.from_data(data), lr=1e-2)
    trainer = make_trainer(tmp_path, best_checkpoint(tmp_path))
    trainer.fit(module, data)
    expected = trainer.callback_metrics["val/rmse"]
    torch.nn.init.normal_(module.network.user_bias.weight)
    (found,) = trainer.validate(module, data, ckpt_path="best", weights_only=True, verbose=False)
    assert found["val/rmse"] == pytest.approx(float(expected))


def test_a_checkpoint_of_another_format_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": {}, "recsys": {"format": 1}}, tmp_path / "old.ckpt")
    with pytest.raises(RunError, match=r"old\.ckpt: has format 1, this version reads format 2: train again"):
        RatingModule.load_from_checkpoint(tmp_path / "old.ckpt")


def test_a_network_that_was_not_built_from_data_is_passed_when_loading(tmp_path: Path) -> None:
    data = synthetic_data()
    network = Bias(len(data.dataset.user_ids), len(data.dataset.item_ids), data.dataset.scale, 3.0)
    trainer = make_trainer(tmp_path, best_checkpoint(tmp_path))
    trainer.fit(RatingModule(network, lr=1e-2), data)
    assert network.trained_users is not None
    with pytest.raises(Exception, match=r"best\.ckpt: .*network=.*from_data"):
        RatingModule.load_from_checkpoint(tmp_path / "best.ckpt")
    other = Bias(len(data.dataset.user_ids), len(data.dataset.item_ids), data.dataset.scale, 3.0)
    loaded = RatingModule.load_from_checkpoint(tmp_path / "best.ckpt", network=other)
    assert torch.equal(loaded.network.user_bias.weight, network.user_bias.weight)


@pytest.mark.parametrize(
    ("limits", "length"),
    [
        ({"max_epochs": 3}, (8, 3)),
        ({"max_epochs": -1, "max_steps": 20}, (8, 3)),
        ({"max_epochs": 100, "max_steps": 16}, (8, 2)),
        ({"max_epochs": 2, "accumulate_grad_batches": 3}, (3, 2)),
        ({"max_epochs": 1, "limit_train_batches": 2}, (2, 1)),
    ],
)
def test_a_schedule_gets_the_length_of_the_run(tmp_path: Path, limits: dict, length: tuple[int, int]) -> None:
    seen = []

    class Recorded(CosineRestarts):
        def __call__(self, optimizer: Any, steps_per_epoch: int, max_epochs: int) -> Any:
            seen.append((steps_per_epoch, max_epochs))
            return super().__call__(optimizer, steps_per_epoch, max_epochs)

    data = synthetic_data(batch_size=100)  # 8 batches
    make_trainer(tmp_path, **limits).fit(RatingModule(Bias.from_data(data), schedule=Recorded()), data)
    assert seen == [length]


def test_a_run_without_an_end_is_refused(tmp_path: Path) -> None:
    data = synthetic_data()
    with pytest.raises(ConfigError, match="max_epochs=-1: a schedule needs an end"):
        make_trainer(tmp_path, max_epochs=-1).fit(RatingModule(Bias.from_data(data)), data)


def test_loaders_work_without_a_data_module(tmp_path: Path) -> None:
    data = synthetic_data()
    module = RatingModule(Bias.from_data(data), lr=1e-2)
    trainer = make_trainer(tmp_path)
    trainer.fit(module, data.train_dataloader(), data.val_dataloader())
    (tested,) = trainer.test(module, data.test_dataloader(), verbose=False)
    assert tested == pytest.approx(errors_by_hand(trainer.predict(module, data.predict_dataloader()), data))


def test_any_optimizer_schedule_and_loss_can_be_passed(tmp_path: Path) -> None:
    """One step of SGD on all ratings, by hand."""
    data = synthetic_data(batch_size=10_000)
    network = Bias.from_data(data)
    (batch,) = data.full("train")
    network.loss(*batch).backward()
    expected = {name: weight - 0.5 * weight.grad for name, weight in network.named_parameters()}
    network.zero_grad()
    module = RatingModule(network, 0.5, torch.optim.SGD, Constant(), Pointwise(NO_PENALTY))
    make_trainer(tmp_path, max_epochs=1, limit_val_batches=0).fit(module, data)
    for name, weight in network.named_parameters():
        torch.testing.assert_close(weight, expected[name])


@pytest.mark.parametrize("loss", [lambda: Pointwise(NO_PENALTY), lambda: BPR(l2=NO_PENALTY)])
def test_the_seed_decides_dropout_and_sampled_items(loss: Callable, tmp_path: Path) -> None:
    data = synthetic_data()
    start = EmbeddingNet.from_data(data, hidden=[8]).state_dict()
    weights = []
    for number, seed in enumerate((3, 3, 4)):
        torch.manual_seed(number)  # the state of torch's generator must not matter
        network = EmbeddingNet.from_data(data, hidden=[8])
        network.load_state_dict(start)
        make_trainer(tmp_path, max_epochs=1).fit(RatingModule(network, loss=loss(), seed=seed), data)
        weights.append(network.item_embedding.weight.detach())
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_ranking_loss_is_measured_by_rankings(tmp_path: Path) -> None:
    data = MovieLensDataModule(
        Synthetic(ratings=1000, users=40, items=30), RandomSplit(), batch_size=200, ranking_k=5
    )
    data.setup()
    network = MatrixFactorization.from_data(data, embedding_dim=4)
    module = RatingModule(network, lr=1e-2, loss=BPR(l2=NO_PENALTY))
    checkpoint = ModelCheckpoint(tmp_path, "best", monitor="val/ndcg@5", mode="max")
    trainer = make_trainer(tmp_path, checkpoint)
    trainer.fit(module, data)
    assert {"train/loss", "val/ndcg@5", "val/recall@5"} <= set(trainer.callback_metrics)
    assert "val/rmse" not in trainer.callback_metrics
    (tested,) = trainer.test(module, data, verbose=False)
    task = RankingTask.of(data.dataset, data.split, "test", 5)
    assert tested == pytest.approx(task.measure(network.scorer(predicts_ratings=False)), rel=1e-6)
    predictions = torch.cat(trainer.predict(module, data))
    rows = data.split.test
    users, items = (torch.from_numpy(index[rows]) for index in (data.dataset.users, data.dataset.items))
    with torch.no_grad():
        torch.testing.assert_close(predictions, network(users, items))  # not clipped
    loaded = RatingModule.load_from_checkpoint(checkpoint.best_model_path, loss=BPR())
    (validated,) = make_trainer(tmp_path).validate(loaded, data, verbose=False)
    assert validated["val/ndcg@5"] == pytest.approx(float(checkpoint.best_model_score))
    with pytest.raises(ConfigError, match=r"loss="):
        RatingModule.load_from_checkpoint(checkpoint.best_model_path)


def test_a_ranking_loss_needs_the_data_module(tmp_path: Path) -> None:
    data = synthetic_data()
    module = RatingModule(Bias.from_data(data), loss=BPR())
    trainer = make_trainer(tmp_path, num_sanity_val_steps=0)
    with pytest.raises(ConfigError, match="MovieLensDataModule"):
        trainer.fit(module, data.train_dataloader(), data.val_dataloader())
    data.ranking_k = 0
    module = RatingModule(Bias.from_data(data), loss=BPR())
    with pytest.raises(ConfigError, match="ranking_k=0"):
        make_trainer(tmp_path, num_sanity_val_steps=0).fit(module, data)


def test_a_module_can_be_measured_on_another_data_module(tmp_path: Path) -> None:
    module = RatingModule(Bias.from_data(synthetic_data()), loss=BPR())
    trainer, other = make_trainer(tmp_path), synthetic_data()
    other.ranking_k = 3
    assert "test/ndcg@10" in trainer.test(module, synthetic_data(), verbose=False)[0]
    assert "test/ndcg@3" in trainer.test(module, other, verbose=False)[0]


@pytest.mark.parametrize("subset", ["val", "test", "predict"])
def test_the_loaders_of_two_processes_cover_each_rating_once(subset: str) -> None:
    data = synthetic_data(ratings=1010)
    found = []
    for process in (0, 1):
        data.trainer = SimpleNamespace(
            global_rank=process, world_size=2, strategy=SimpleNamespace(root_device=torch.device("cpu"))
        )
        for batch in getattr(data, f"{subset}_dataloader")():
            found += zip(batch.users.tolist(), batch.items.tolist(), batch.ratings.tolist(), strict=True)
    rows = data.split.val if subset == "val" else data.split.test
    columns = (data.dataset.users, data.dataset.items, data.dataset.ratings)
    assert len(rows) % 2 == 1, "one process has a rating more than the other"
    assert sorted(found) == sorted(zip(*(column[rows].tolist() for column in columns), strict=True))
