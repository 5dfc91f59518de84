import csv
import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from support.tiny import PLAIN, QUICK
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from recsys.data.batches import Batches, Shuffle, to_tensors
from recsys.data.sources.synthetic import Synthetic
from recsys.errors import ConfigError, TrainingError
from recsys.experiment.train import train
from recsys.runs.checkpoint import load_checkpoint
from recsys.training.build import build_data, build_module

LEARNING = ["data=synthetic", "data.ratings=30000", "data.noise=0.2", *PLAIN, "split.test=0.1", "logger=none"]
RANKING = [f"{name}@10" for name in ("ndcg", "recall", "precision", "mrr", "hit", "coverage", "novelty")]


def weights(folder: Path, name: str = "best") -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]


def test_leaves_a_complete_run(compose, tmp_path: Path) -> None:
    result = train(compose(*QUICK), tmp_path / "run", ["max_epochs=2"])
    assert json.loads((tmp_path / "run" / "result.json").read_text()) == result
    assert result["status"] == "completed"
    assert result["overrides"] == ["max_epochs=2"]
    assert result["objective"]["name"] == "val/rmse"
    assert result["objective"]["value"] == result["metrics"]["val/rmse"]
    assert set(result["metrics"]) == {
        f"{part}/{name}" for part in ("val", "test") for name in ("rmse", "mae", *RANKING)
    }
    assert set(result["baselines"]) == {"global-mean", "user-item-bias", "popularity"}
    assert set(result["baselines"]["popularity"]) == {f"test/{name}" for name in RANKING}
    assert (result["ranking"]["k"], result["ranking"]["threshold"]) == (10, 4.0)
    data = result["data"]
    assert (data["name"], data["ratings"], data["users"], data["items"]) == ("synthetic", 3000, 60, 50)
    assert (data["train"], data["val"], data["test"]) == (2400, 300, 300)
    assert data["split"].startswith("random(seed=0, val=0.1, test=0.1) ")
    assert result["model"]["name"] == "embedding-net"
    assert result["time"]["epochs"] == 2
    assert {path.name for path in (tmp_path / "run" / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}


@pytest.mark.parametrize(
    "model",
    [
        ["model=matrix-factorization", "model.embedding_dim=4", "optimizer.weight_decay=1e-4"],
        ["model.hidden=[32]", "model.embedding_dim=8", "model.dropouts=0", "model.embedding_dropout=0"],
    ],
)
def test_networks_find_what_biases_cannot(compose, tmp_path: Path, model: list[str]) -> None:
    """The product of factors (sd 0.5) is beyond biases; noise (sd 0.2) is beyond everybody."""
    cfg = compose(*LEARNING, *model, "optimizer.lr=0.01", "batch_size=500", "max_epochs=40")
    result = train(cfg, tmp_path)
    assert 0.19 < result["metrics"]["test/rmse"] < 0.35
    assert result["metrics"]["test/rmse"] < 0.7 * result["baselines"]["user-item-bias"]["test/rmse"]


def test_trained_biases_equal_the_closed_form(compose, tmp_path: Path) -> None:
    result = train(compose(*LEARNING, "model=bias", "optimizer.lr=0.02", "max_epochs=30"), tmp_path)
    assert result["metrics"]["test/rmse"] == pytest.approx(
        result["baselines"]["user-item-bias"]["test/rmse"], rel=0.01
    )


def test_reports_the_best_epoch_not_the_last(compose, tmp_path: Path) -> None:
    """A network that overfits at once: its last weights are not its best ones."""
    overfit = ["optimizer.lr=0.03", "model.dropouts=0", "model.embedding_dropout=0", "batch_size=100"]
    options = ["max_epochs=30", "patience=4", "schedule=constant"]
    result = train(compose(*QUICK, *overfit, *options), tmp_path)
    best = result["objective"]["epoch"]
    assert result["time"]["epochs"] == best + 1 + 4
    assert load_checkpoint(tmp_path / "checkpoints" / "best.ckpt").epoch == best
    assert load_checkpoint(tmp_path / "checkpoints" / "last.ckpt").epoch == best + 4


def test_a_run_is_decided_by_its_seed(compose, tmp_path: Path) -> None:
    runs = {}
    for name, overrides in {"a": [], "again": [], "other": ["seed=2"]}.items():
        torch.manual_seed(hash(name))  # what ran before in this process must not matter
        runs[name] = train(compose(*QUICK, *overrides), tmp_path / name)
    first, again, other = (weights(tmp_path / name) for name in runs)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)
    assert runs["a"]["metrics"] == runs["again"]["metrics"]
    assert runs["a"]["data"]["split"] == runs["other"]["data"]["split"]


def test_metrics_can_be_computed_from_the_checkpoint_by_hand(compose, tmp_path: Path) -> None:
    cfg = compose(*QUICK)
    result = train(cfg, tmp_path)
    data = build_data(cfg)
    data.setup()
    trained = load_checkpoint(tmp_path / "checkpoints" / "best.ckpt")
    rows = data.split.test
    users, items = (torch.from_numpy(column[rows]) for column in (data.dataset.users, data.dataset.items))
    with torch.no_grad():
        predicted = trained.network(users, items).clamp(1, 5).double().numpy()
    rmse = np.sqrt(np.mean((predicted - data.dataset.ratings[rows]) ** 2))
    assert result["metrics"]["test/rmse"] == pytest.approx(rmse, rel=1e-9)


def test_cold_pairs_are_counted_and_predicted_from_the_mean_row(compose, tmp_path: Path) -> None:
    """Most of 400 users have their one or two ratings outside the training part."""
    sparse = ["data.users=400", "data.ratings=600", "split.test=0.3"]
    result = train(compose(*QUICK, *sparse, "model=bias"), tmp_path)
    source = Synthetic(ratings=600, users=400, items=50)
    data = build_data(compose(*QUICK, *sparse))
    data.setup()
    train_users, train_items = (set(c[data.split.train]) for c in (data.dataset.users, data.dataset.items))
    test = zip(data.dataset.users[data.split.test], data.dataset.items[data.split.test], strict=True)
    cold = sum(user not in train_users or item not in train_items for user, item in test)
    assert result["data"]["cold"]["test"] == cold > 50
    bias = weights(tmp_path)["network.user_bias.weight"]
    trained = torch.zeros(len(bias), dtype=torch.bool)
    trained[list(train_users)] = True
    assert torch.allclose(bias[~trained], bias[trained].mean(0))
    assert len(bias) == len(source.load().user_ids)


@pytest.mark.parametrize("precision", ["bf16-mixed"])
def test_lower_precision_trains_as_well(compose, tmp_path: Path, precision: str) -> None:
    options = [*LEARNING, "max_epochs=8", "batch_size=500", "optimizer.lr=0.01"]
    full = train(compose(*options), tmp_path / "full")
    low = train(compose(*options, f"hardware.precision={precision}"), tmp_path / "low")
    assert low["metrics"]["test/rmse"] == pytest.approx(full["metrics"]["test/rmse"], abs=0.02)


@pytest.mark.parametrize("more", [[], ["hardware.precision=bf16-mixed", "+optimizer.fused=true"]])
def test_clips_gradients(compose, tmp_path: Path, more: list[str]) -> None:
    """In lower precision too, where Lightning clips no gradients of a fused optimizer."""
    options = [
        *QUICK,
        "optimizer=sgd",
        "optimizer.lr=1",
        "schedule=constant",
        "max_epochs=1",
        "batch_size=3000",
        *more,
    ]
    start = weights_at_start(compose(*options))
    train(
        compose(*options, "optimizer.momentum=0", "optimizer.nesterov=false", "gradient_clip=0.01"), tmp_path
    )
    end = weights(tmp_path)
    moved = sum(((end[f"network.{key}"] - value) ** 2).sum() for key, value in start.items()) ** 0.5
    assert moved == pytest.approx(0.01, rel=1e-3)  # one step of length lr x the clipped norm


def weights_at_start(cfg) -> dict[str, torch.Tensor]:
    data = build_data(cfg)
    data.setup()
    network = build_module(cfg, {}, data).network
    network.fill_untrained(data.trained_users, data.trained_items)
    return {key: value.clone() for key, value in network.state_dict().items()}


def test_a_loss_that_is_not_finite_is_a_failure(compose, tmp_path: Path) -> None:
    wild = ["model=matrix-factorization", "optimizer=sgd", "optimizer.lr=1e30", "schedule=constant"]
    with pytest.raises(
        TrainingError, match=r"(train/loss|val/rmse) is (nan|inf) in epoch 0 .*rate 1e\+30.*optimizer.lr"
    ):
        train(compose(*QUICK, *wild), tmp_path)
    assert not (tmp_path / "result.json").exists()


def test_refuses_a_bad_configuration_before_anything_is_written(compose, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="batch_size=0"):
        train(compose(*QUICK, "batch_size=0"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_shows_itself_in_tensorboard(compose, tmp_path: Path) -> None:
    result = train(compose(*QUICK, "logger=tensorboard", "max_epochs=4", "batch_size=100"), tmp_path)
    events = EventAccumulator(str(tmp_path), {"scalars": 0, "images": 0}).Reload()
    assert set(events.Tags()["scalars"]) >= {"train/loss", "val/rmse", "val/mae", "lr-Adam"}
    assert events.Tags()["images"] == ["data/cross-table"]
    curve = [event.value for event in events.Scalars("val/rmse")]
    assert len(curve) == 4
    assert min(curve) == pytest.approx(result["metrics"]["val/rmse"], rel=1e-5)
    assert min(event.step for event in events.Scalars("val/rmse")) > 0
    rates = [event.value for event in events.Scalars("lr-Adam")]
    assert max(rates) > 2 * min(rates)  # it moves within an epoch
    (final,) = events.Scalars("best/val_rmse")
    assert final.value == pytest.approx(result["metrics"]["val/rmse"], rel=1e-5)
    assert final.step == 4 * 24
    plugin = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    assert b"model.embedding_dim" in plugin
    assert b"optimizer.lr" in plugin
    assert b"best/val_rmse" in events.SummaryMetadata("_hparams_/experiment").plugin_data.content


def test_writes_its_curves_beside_what_the_folder_holds(compose, tmp_path: Path) -> None:
    """As a command's run does, whose folder holds its log already; a warning would fail the test."""
    (tmp_path / "train.log").write_text("begun\n")
    result = train(compose(*QUICK, "logger=csv"), tmp_path)
    rows = csv.DictReader((tmp_path / "metrics.csv").read_text().splitlines())
    curve = [float(row["val/rmse"]) for row in rows if row["val/rmse"]]
    assert len(curve) == 2
    assert min(curve) == pytest.approx(result["metrics"]["val/rmse"], rel=1e-5)
    assert (tmp_path / "train.log").read_text() == "begun\n"


def test_measures_its_own_speed(compose, tmp_path: Path, monkeypatch) -> None:
    """Shuffling counts: here it takes an eternity before the two epochs that are counted from their start."""
    permutation = Shuffle.permutation
    monkeypatch.setattr(Shuffle, "permutation", lambda order: time.sleep(0.3) or permutation(order))
    result = train(compose(*QUICK, "batch_size=100", "max_epochs=3"), tmp_path)
    speed = result["time"]["train_ratings_per_second"]
    # 62 of 72 batches were counted, in less time than the whole run took and more than two shuffles did
    assert 62 * 100 / result["time"]["seconds"] < speed < 62 * 100 / 0.6


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore")  # from inside the compiler
def test_a_compiled_network_learns_the_same(compose, tmp_path: Path) -> None:
    options = [*QUICK, "batch_size=1000", "ranking.k=0"]  # 2,400 ratings: the last batch has another shape
    plain = train(compose(*options), tmp_path / "plain")
    compiled = train(compose(*options, "hardware.compile=true"), tmp_path / "compiled")
    assert compiled["metrics"] == pytest.approx(plain["metrics"], rel=1e-4)
    for key, value in weights(tmp_path / "plain").items():
        torch.testing.assert_close(weights(tmp_path / "compiled")[key], value, atol=1e-4, rtol=1e-3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("compiled", ["false", "true"])
def test_a_step_on_a_gpu_does_not_wait_for_it(compose, compiled: str) -> None:
    """torch raises where a step would wait for the device: data, order and loss all stay there."""
    cfg = compose(*LEARNING, "hardware=gpu", f"hardware.compile={compiled}", "ranking.k=0")
    data = build_data(cfg)
    data.setup()
    module = build_module(cfg, {}, data).cuda()
    columns = to_tensors(data.dataset, data.split.train, "cuda")
    optimizer = module.make_optimizer(module.network.parameters())

    def steps() -> None:
        for number, batch in enumerate(Batches(columns, 1000, Shuffle(len(columns.ratings), 0, "cuda"))):
            optimizer.zero_grad()
            module.training_step(batch, number).backward()
            optimizer.step()

    steps()  # compiles, allocates, and builds the optimizer's state
    torch.cuda.set_sync_debug_mode("error")
    try:
        steps()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_trains_on_a_gpu_as_on_a_cpu(compose, tmp_path: Path) -> None:
    options = [*LEARNING, "max_epochs=8", "batch_size=500", "optimizer.lr=0.01"]
    on_cpu = train(compose(*options, "hardware=cpu"), tmp_path / "cpu")
    on_gpu = train(compose(*options, "hardware=gpu"), tmp_path / "gpu")
    assert on_gpu["metrics"]["test/rmse"] == pytest.approx(on_cpu["metrics"]["test/rmse"], abs=0.02)
