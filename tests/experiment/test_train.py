"""`train` leaves a complete run folder, whose figures can be computed from it by hand."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import DictConfig
from support.tiny import PLAIN, QUICK
from support.training import train_result
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from recsys.data.batches import Batches, Shuffle, to_tensors
from recsys.errors import ConfigError, TrainingError
from recsys.runs.checkpoint import load_checkpoint
from recsys.runs.folder import checkpoint_in
from recsys.training.build import build_data, build_module

LEARNABLE = ["data=synthetic", "data.ratings=30000", "data.noise=0.2", *PLAIN, "logger=none"]
NO_DROPOUT = ["model.dropouts=0", "model.embedding_dropout=0"]
OVERFIT = ["optimizer.lr=0.03", *NO_DROPOUT, "batch_size=100"]
RANKING = [f"{name}@10" for name in ("ndcg", "recall", "precision", "mrr", "hit", "coverage", "novelty")]
NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def weights(folder: Path, name: str = "best") -> dict[str, torch.Tensor]:
    return torch.load(checkpoint_in(folder, name), weights_only=True)["state_dict"]


def test_a_run_is_complete(compose, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        result = train_result(compose(*QUICK), tmp_path / "run", overrides=["max_epochs=2"])
    assert json.loads((tmp_path / "run" / "result.json").read_text()) == result
    assert result["status"] == "completed"
    assert result["overrides"] == ["max_epochs=2"]
    assert result["objective"]["name"] == "val/rmse"
    assert result["objective"]["value"] == result["metrics"]["val/rmse"]
    assert set(result["metrics"]) == {
        f"{subset}/{name}" for subset in ("val", "test") for name in ("rmse", "mae", *RANKING)
    }
    assert set(result["baselines"]) == {"global-mean", "user-item-bias", "popularity"}
    assert set(result["baselines"]["popularity"]) == {f"test/{name}" for name in RANKING}
    assert (result["ranking"]["k"], result["ranking"]["threshold"]) == (10, 4.0)
    data = result["data"]
    assert (data["name"], data["ratings"], data["users"], data["items"]) == ("synthetic", 3000, 60, 50)
    assert (data["train"], data["val"], data["test"]) == (2400, 300, 300)
    assert data["split"].startswith("random(seed=0, val=0.1, test=0.1) ")
    assert result["model"]["name"] == "embedding-net"
    assert result["model"]["snapshots"] == 1
    assert result["time"]["epochs"] == 2
    assert {path.name for path in (tmp_path / "run" / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    size = (tmp_path / "run" / "data.pt").stat().st_size / 1e6
    assert f"data.pt: {size:.1f} MB, so that the run can recommend without its ratings" in caplog.messages


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        ["model=matrix-factorization", "model.embedding_dim=4", "optimizer.weight_decay=1e-4"],
        ["model.hidden=[32]", "model.embedding_dim=8", *NO_DROPOUT],
    ],
)
def test_networks_learn_what_biases_cannot(compose, tmp_path: Path, model: list[str]) -> None:
    """Biases cannot express the product of factors (standard deviation 0.5); the noise is 0.2."""
    cfg = compose(*LEARNABLE, *model, "optimizer.lr=0.01", "batch_size=500", "max_epochs=40")
    result = train_result(cfg, tmp_path / "run")
    assert 0.19 < result["metrics"]["test/rmse"] < 0.35
    assert result["metrics"]["test/rmse"] < 0.7 * result["baselines"]["user-item-bias"]["test/rmse"]


@pytest.mark.slow
def test_trained_biases_equal_fitted_biases(compose, tmp_path: Path) -> None:
    cfg = compose(*LEARNABLE, "model=bias", "optimizer.lr=0.02", "max_epochs=30")
    result = train_result(cfg, tmp_path / "run")
    assert result["metrics"]["test/rmse"] == pytest.approx(
        result["baselines"]["user-item-bias"]["test/rmse"], rel=0.01
    )


@pytest.mark.slow
@pytest.mark.parametrize("model", ["embedding-net", "matrix-factorization", "bias", "neumf"])
def test_every_network_learns_with_an_ordinal_head(compose, model: str, tmp_path: Path) -> None:
    options = [f"model={model}", "model.head=ordinal", "data.step=1", "max_epochs=6", "optimizer.lr=0.01"]
    result = train_result(compose(*QUICK, *options), tmp_path / "run")
    assert result["metrics"]["test/rmse"] < result["baselines"]["global-mean"]["test/rmse"]


@pytest.mark.slow
def test_the_result_is_that_of_the_best_epoch(compose, tmp_path: Path) -> None:
    """The network overfits, so that its last weights are not its best."""
    options = ["max_epochs=30", "patience=4", "schedule=constant"]
    result = train_result(compose(*QUICK, *OVERFIT, *options), tmp_path / "run")
    best = result["objective"]["epoch"]
    assert result["time"]["epochs"] == best + 1 + 4
    assert load_checkpoint(checkpoint_in(tmp_path / "run", "best")).epoch == best
    assert load_checkpoint(checkpoint_in(tmp_path / "run", "last")).epoch == best + 4


@pytest.mark.slow
def test_the_seed_decides_a_run(compose, tmp_path: Path) -> None:
    results = {}
    for number, (name, overrides) in enumerate({"a": [], "again": [], "other": ["seed=2"]}.items()):
        torch.manual_seed(number)  # the state of torch's generator must not matter
        results[name] = train_result(compose(*QUICK, *overrides), tmp_path / name)
    first, again, other = (weights(tmp_path / name) for name in results)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)
    assert results["a"]["metrics"] == results["again"]["metrics"]
    assert results["a"]["data"]["split"] == results["other"]["data"]["split"]


def test_the_metrics_follow_from_the_checkpoint(compose, tmp_path: Path) -> None:
    cfg = compose(*QUICK)
    result = train_result(cfg, tmp_path / "run")
    data = build_data(cfg)
    data.setup()
    rows = data.split.test
    users, items = (torch.from_numpy(index[rows]) for index in (data.dataset.users, data.dataset.items))
    scorer = load_checkpoint(checkpoint_in(tmp_path / "run")).scorer
    predicted = scorer(users, items).clamp(1, 5).double().numpy()
    rmse = np.sqrt(np.mean((predicted - data.dataset.ratings[rows]) ** 2))
    assert result["metrics"]["test/rmse"] == pytest.approx(rmse, rel=1e-9)


def test_cold_ratings_are_counted_and_predicted_from_the_mean_embedding(compose, tmp_path: Path) -> None:
    """Many of 400 users have their one or two ratings outside the training set."""
    cfg = compose(*QUICK, "data.users=400", "data.ratings=600", "split.test=0.3", "model=bias")
    result = train_result(cfg, tmp_path / "run")
    data = build_data(cfg)
    data.setup()
    users, items = data.dataset.users, data.dataset.items
    train_users, train_items = set(users[data.split.train]), set(items[data.split.train])
    test = zip(users[data.split.test], items[data.split.test], strict=True)
    cold = sum(user not in train_users or item not in train_items for user, item in test)
    assert result["data"]["cold"]["test"] == cold > 50
    bias = weights(tmp_path / "run")["network.user_bias.weight"]
    assert len(bias) == len(data.dataset.user_ids)
    trained = torch.zeros(len(bias), dtype=torch.bool)
    trained[list(train_users)] = True
    assert torch.allclose(bias[~trained], bias[trained].mean(0))


@pytest.mark.slow
def test_lower_precision_trains_as_well(compose, tmp_path: Path) -> None:
    options = [*LEARNABLE, "max_epochs=8", "batch_size=500", "optimizer.lr=0.01"]
    full = train_result(compose(*options), tmp_path / "full")
    low = train_result(compose(*options, "hardware.precision=bf16-mixed"), tmp_path / "low")
    assert low["metrics"]["test/rmse"] == pytest.approx(full["metrics"]["test/rmse"], abs=0.02)


def initial_weights(cfg: DictConfig) -> dict[str, torch.Tensor]:
    data = build_data(cfg)
    data.setup()
    network = build_module(cfg, data).network
    network.fill_untrained()
    return {f"network.{name}": value.clone() for name, value in network.state_dict().items()}


class FusedSGD(torch.optim.SGD):
    """Fused unless it is told otherwise, as optimizers of other packages may be."""

    def __init__(self, *arguments: Any, fused: bool = True, **options: Any) -> None:
        super().__init__(*arguments, fused=fused, **options)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [[], ["+optimizer.fused=true"], [f"optimizer._target_={__name__}.FusedSGD"]]
)
def test_gradients_are_clipped(compose, tmp_path: Path, options: list[str]) -> None:
    """Also in mixed precision, where Lightning cannot clip the gradients of a fused optimizer."""
    sgd = ["optimizer=sgd", "optimizer.lr=1", "optimizer.momentum=0", "optimizer.nesterov=false"]
    one_step = ["schedule=constant", "max_epochs=1", "batch_size=3000", "gradient_clip=0.01"]
    if options:
        one_step.append("hardware.precision=bf16-mixed")
    cfg = compose(*QUICK, *sgd, *one_step, *options)
    before = initial_weights(cfg)
    train_result(cfg, tmp_path / "run")
    after = weights(tmp_path / "run")
    distance = sum(((after[name] - value) ** 2).sum() for name, value in before.items()) ** 0.5
    assert distance == pytest.approx(0.01, rel=1e-3)  # lr times the clipped norm


def test_a_loss_that_is_not_finite_is_an_error(compose, tmp_path: Path) -> None:
    diverging = ["model=matrix-factorization", "optimizer=sgd", "optimizer.lr=1e30", "schedule=constant"]
    message = r"(train/loss|val/rmse) is (nan|inf) in epoch 0 .*1e\+30.*optimizer\.lr"
    with pytest.raises(TrainingError, match=message):
        train_result(compose(*QUICK, *diverging), tmp_path / "run")
    assert not (tmp_path / "run" / "result.json").exists()


def test_an_invalid_configuration_leaves_no_folder(compose, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="batch_size=0"):
        train_result(compose(*QUICK, "batch_size=0"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_tensorboard_shows_curves_configuration_and_hyperparameters(compose, tmp_path: Path) -> None:
    cfg = compose(*QUICK, "logger=tensorboard", "max_epochs=4", "batch_size=100")
    result = train_result(cfg, tmp_path / "run")
    events = EventAccumulator(str(tmp_path / "run"), {"scalars": 0, "tensors": 0}).Reload()
    assert set(events.Tags()["scalars"]) >= {"train/loss", "val/rmse", "val/mae", "lr"}
    assert events.Tags()["images"] == []
    (text,) = events.Tensors("config/text_summary")
    lines = text.tensor_proto.string_val[0].decode().splitlines()
    assert {"    batch_size: 100", "    model:", "      embedding_dim: 32", "      l2:"} <= set(lines)
    assert all(line.startswith("    ") for line in lines), "a code block"
    assert "${" not in "".join(lines), "interpolations are resolved"
    curve = [event.value for event in events.Scalars("val/rmse")]
    assert len(curve) == 4
    assert min(curve) == pytest.approx(result["metrics"]["val/rmse"], rel=1e-5)
    assert min(event.step for event in events.Scalars("val/rmse")) > 0
    rates = [event.value for event in events.Scalars("lr")]
    assert max(rates) > 2 * min(rates)  # it changes within an epoch
    (final,) = events.Scalars("val/best_rmse")
    assert final.value == pytest.approx(result["metrics"]["val/rmse"], rel=1e-5)
    assert final.step == 4 * 24
    plugin = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    assert b"model.embedding_dim" in plugin
    assert b"optimizer.lr" in plugin
    assert b"val/best_rmse" in events.SummaryMetadata("_hparams_/experiment").plugin_data.content


def test_the_csv_logger_writes_curves_into_the_run_folder(compose, tmp_path: Path) -> None:
    """The folder has files already, which causes no warning."""
    result = train_result(compose(*QUICK, "logger=csv"), tmp_path / "run")
    rows = csv.DictReader((tmp_path / "run" / "metrics.csv").read_text().splitlines())
    curve = [float(row["val/rmse"]) for row in rows if row["val/rmse"]]
    assert len(curve) == 2
    assert min(curve) == pytest.approx(result["metrics"]["val/rmse"], rel=1e-5)


@pytest.mark.slow
def test_a_run_measures_its_speed(compose, tmp_path: Path) -> None:
    """Of 72 steps of 100 ratings, the first ten are not counted."""
    result = train_result(compose(*QUICK, "batch_size=100", "max_epochs=3"), tmp_path / "run")
    speed, seconds = result["time"]["train_ratings_per_second"], result["time"]["seconds"]
    assert seconds > 0
    assert speed > 62 * 100 / seconds  # the run also takes time outside of training


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore")  # from inside the compiler
@pytest.mark.parametrize(
    "more", [[], ["model=history", "model.head=linear"], ["loss=bpr", "ranking.k=5"]], ids=str
)
def test_a_compiled_network_learns_the_same(more: list[str], compose, tmp_path: Path) -> None:
    # 2,400 ratings: the last batch has another shape. SGD, because Adam's steps have the same length for a gradient
    # of rounding errors as for any other.
    options = [*QUICK, "batch_size=1000", "ranking.k=0", "optimizer=sgd", "optimizer.lr=0.1", *more]
    plain = train_result(compose(*options), tmp_path / "plain")
    compiled = train_result(compose(*options, "hardware.compile=true"), tmp_path / "compiled")
    assert compiled["metrics"] == pytest.approx(plain["metrics"], rel=1e-4)
    for key, value in weights(tmp_path / "plain").items():
        torch.testing.assert_close(weights(tmp_path / "compiled")[key], value, atol=1e-4, rtol=1e-3)


@pytest.mark.gpu
@NEEDS_GPU
@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")
@pytest.mark.parametrize(
    "compiled",
    ["false", pytest.param("true", marks=pytest.mark.filterwarnings("ignore"))],  # from inside the compiler
)
def test_a_step_on_a_gpu_does_not_wait_for_it(compose, compiled: str) -> None:
    """torch raises if a step waits for the device: data, order and loss all stay there."""
    cfg = compose(*LEARNABLE, "hardware=gpu", f"hardware.compile={compiled}", "ranking.k=0")
    data = build_data(cfg)
    data.setup()
    module = build_module(cfg, data).cuda()
    if module.compiled:
        module._compile()
    columns = to_tensors(data.dataset, data.split.train, "cuda")
    optimizer = module.optimizer(list(module.network.parameters()), lr=module.lr)

    def train_one_epoch() -> None:
        for number, batch in enumerate(Batches(columns, 1000, Shuffle(len(columns.ratings), 0, "cuda"))):
            optimizer.zero_grad()
            module.training_step(batch, number).backward()
            optimizer.step()

    train_one_epoch()  # compiles, allocates, and creates the optimizer's state
    torch.cuda.set_sync_debug_mode("error")
    try:
        train_one_epoch()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
@NEEDS_GPU
def test_a_gpu_trains_as_well_as_a_cpu(compose, tmp_path: Path) -> None:
    options = [*LEARNABLE, "max_epochs=8", "batch_size=500", "optimizer.lr=0.01"]
    on_cpu = train_result(compose(*options, "hardware=cpu"), tmp_path / "cpu")
    on_gpu = train_result(compose(*options, "hardware=gpu"), tmp_path / "gpu")
    assert on_gpu["metrics"]["test/rmse"] == pytest.approx(on_cpu["metrics"]["test/rmse"], abs=0.02)


@pytest.mark.parametrize("key", ["name", "version"])
@pytest.mark.parametrize("logger", ["tensorboard", "csv"])
def test_a_logger_writes_into_the_run_folder_only(logger: str, key: str, compose, tmp_path: Path) -> None:
    """The configuration of a run of someone else may try to write elsewhere when it is resumed."""
    cfg = compose(*QUICK, f"logger={logger}", f"++logger.{logger}.{key}=../../elsewhere")
    with pytest.raises(
        ConfigError, match=rf"logger\.{logger}: would write to .*elsewhere/?, which is outside"
    ):
        train_result(cfg, tmp_path / "run")
    assert not (tmp_path / "elsewhere").exists()
