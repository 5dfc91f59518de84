"""What a run hands over: judged at the ends of cycles, averaged over the last of them."""

from pathlib import Path

import pytest
import torch
from support.tiny import QUICK

from recsys.cli.evaluate import evaluate
from recsys.data.batches import Batch
from recsys.errors import ConfigError
from recsys.experiment.train import train
from recsys.inference.recommender import Recommender
from recsys.models.ensemble import Ensemble
from recsys.models.matrix_factorization import MatrixFactorization
from recsys.runs.checkpoint import load_checkpoint
from recsys.training.regularization import l2_per_occurrence
from recsys.training.schedules import in_cycles

CYCLES = [*QUICK, "schedule.cycle_epochs=2", "optimizer.lr=0.01", "max_epochs=8", "patience=100"]


def test_the_best_weights_are_those_of_an_end(compose, tmp_path: Path) -> None:
    """With cycles of three epochs in ten, ends are 3, 6, 9 and, since the run ends there, 10."""
    options = ["schedule.cycle_epochs=3", "max_epochs=10", "optimizer.lr=0.03", "batch_size=100"]
    for seed in range(3):
        result = train(compose(*CYCLES, *options, f"seed={seed}"), tmp_path / str(seed))
        assert result["objective"]["epoch"] + 1 in (3, 6, 9, 10)


def test_a_run_stops_where_whole_cycles_were_in_vain(compose, tmp_path: Path) -> None:
    """Overfits from the start; four epochs of patience are two cycles of three, rounded up."""
    overfit = ["optimizer.lr=0.1", "model.dropouts=0", "model.embedding_dropout=0", "batch_size=50"]
    options = ["schedule.cycle_epochs=3", "max_epochs=60", "patience=4"]
    result = train(compose(*QUICK, *overfit, *options), tmp_path)
    assert (result["time"]["epochs"] - result["objective"]["epoch"] - 1) == 6


@pytest.mark.parametrize(("epochs", "cycle", "cycles"), [(10, 2, 5), (10, 6, 2), (1, 6, 1), (10, 0.5, 10)])
def test_patience_is_in_whole_cycles(epochs: int, cycle: float, cycles: int) -> None:
    assert in_cycles(epochs, {"_target_": "x", "cycle_epochs": cycle}) == cycles
    assert in_cycles(epochs, {"_target_": "x"}) == epochs


def test_the_average_is_that_of_the_last_ends(compose, tmp_path: Path) -> None:
    """Networks that shorter runs end with, averaged by hand, are what a run with snapshots saves."""
    kept = []
    for epochs in (4, 6, 8):
        train(compose(*CYCLES, f"max_epochs={epochs}"), tmp_path / str(epochs))
        kept.append(load_checkpoint(tmp_path / str(epochs) / "checkpoints" / "last.ckpt").network)
    result = train(compose(*CYCLES, "snapshots=3"), tmp_path / "average")
    average = load_checkpoint(tmp_path / "average" / "checkpoints" / "last.ckpt").network
    assert isinstance(average, Ensemble)
    assert len(average.members) == 3
    users, items = torch.arange(40), torch.arange(40)
    expected = torch.stack([network(users, items) for network in kept]).mean(0)
    assert torch.equal(average(users, items), expected)
    assert result["model"]["parameters"] % sum(p.numel() for p in kept[0].parameters()) == 0


def test_an_average_is_evaluated_recommended_from_and_exported(compose, tmp_path: Path) -> None:
    options = ["snapshots=2", "model=neumf", "model.history=true", "data.items=120"]
    result = train(compose(*CYCLES, *options), tmp_path / "run")
    (own,) = [row for row in evaluate(str(tmp_path / "run")) if row["model"] == "history"]
    assert own["test/rmse"] == pytest.approx(result["metrics"]["test/rmse"], rel=1e-9)
    model = Recommender.load(tmp_path / "run")
    assert isinstance(model.network, Ensemble)
    assert len(model.recommend(7, k=5)) == 5
    liked = model.recommend(7, k=3)["item"]
    assert len(model.fold_in(dict.fromkeys(liked, 5.0)).recommend(k=4)) == 4
    assert len(model.similar_users(3, k=2)) == 2
    assert model.export(tmp_path / "model.pt2").exists()  # checks what it has written


def test_the_moving_average_is_what_is_validated_and_kept(compose, tmp_path: Path) -> None:
    """With steps far too long, weights wander about the optimum and their average does not."""
    wild = [*QUICK, "data.ratings=2000", "model=bias", "optimizer=sgd", "optimizer.lr=10", "batch_size=50"]
    wild += ["optimizer.momentum=0", "optimizer.nesterov=false", "schedule=constant", "max_epochs=12"]
    plain = train(compose(*wild), tmp_path / "plain")
    averaged = train(compose(*wild, "averaging=ema", "averaging.decay=0.99"), tmp_path / "ema")
    assert averaged["metrics"]["test/rmse"] < plain["metrics"]["test/rmse"] - 0.01
    own = evaluate(str(tmp_path / "ema"))[-1]
    assert own["test/rmse"] == pytest.approx(averaged["metrics"]["test/rmse"], rel=1e-9)
    with pytest.raises(ConfigError, match=r"snapshots=2 with averaging of weights: averaging=none"):
        train(compose(*wild, "averaging=ema", "snapshots=2"), tmp_path / "both")


def test_an_average_of_a_history_is_validated_with_its_own_context(compose, tmp_path: Path) -> None:
    options = ["model=neumf", "model.history=true", "averaging=ema", "averaging.decay=0.9", "max_epochs=4"]
    result = train(compose(*CYCLES, *options), tmp_path / "run")
    value = evaluate(str(tmp_path / "run"), part="val")[-1]["val/rmse"]
    assert value == pytest.approx(result["objective"]["value"], rel=1e-9)
    saved = torch.load(tmp_path / "run" / "checkpoints" / "best.ckpt", weights_only=True)
    logged = next(
        float(state["best_model_score"])
        for name, state in saved["callbacks"].items()
        if name.startswith("CycleEndCheckpoint")
    )
    assert value == pytest.approx(logged, rel=1e-5)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["loss=softmax", "averaging=ema"], "averaging of weights with a loss that ranks"),
        (["model=history", "hardware.compile=true"], r"hardware\.compile=true with model\.history=true"),
        (["model.head=ordinal", "hardware.compile=true"], r"hardware\.compile=true with model\.head=ordinal"),
    ],
)
def test_what_does_not_go_together_is_named(compose, options: list[str], told: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=told):
        train(compose(*QUICK, "data.step=1", *options), tmp_path)


@pytest.mark.parametrize("model", ["embedding-net", "matrix-factorization", "bias", "neumf"])
def test_an_ordinal_head_goes_with_every_network(compose, model: str, tmp_path: Path) -> None:
    options = [f"model={model}", "model.head=ordinal", "data.step=1", "max_epochs=6", "optimizer.lr=0.01"]
    result = train(compose(*QUICK, *options), tmp_path)
    assert result["metrics"]["test/rmse"] < result["baselines"]["global-mean"]["test/rmse"]


def test_l2_per_occurrence_by_hand() -> None:
    network = MatrixFactorization(3, 2, (1, 5), 3.0, embedding_dim=2)
    with torch.no_grad():
        network.user_embedding.weight.copy_(torch.tensor([[1.0, 2.0], [3.0, 0.0], [9.0, 9.0]]))
        network.item_embedding.weight.copy_(torch.tensor([[1.0, 1.0], [0.0, 2.0]]))
        network.user_bias.weight.copy_(torch.tensor([[1.0], [2.0], [9.0]]))
    batch = Batch(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]), torch.ones(3))
    found = l2_per_occurrence(network, batch, vectors=0.1, biases=0.5)
    # (5 + 5 + 9) + (2 + 4 + 4) squared lengths of vectors, 1 + 1 + 4 of biases, over three pairs
    assert isinstance(found, torch.Tensor)
    assert found.item() == pytest.approx((0.1 * 29 + 0.5 * 6) / 3)
    found.backward()
    assert network.user_embedding.weight.grad is not None
    assert network.user_embedding.weight.grad[2].abs().sum() == 0  # not in the batch


def test_l2_keeps_vectors_short(compose, tmp_path: Path) -> None:
    lengths = []
    for weight in (0, 0.5):
        options = ["model=matrix-factorization", f"l2.vectors={weight}", "max_epochs=6", "optimizer.lr=0.01"]
        train(compose(*QUICK, *options), tmp_path / str(weight))
        network = load_checkpoint(tmp_path / str(weight) / "checkpoints" / "last.ckpt").network
        lengths.append(network.get_parameter("user_embedding.weight").norm().item())
    assert lengths[1] < 0.5 * lengths[0]
