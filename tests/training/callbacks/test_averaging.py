"""Averaged weights: at cycle ends (averaging=swa), or after every step (averaging=ema)."""

from pathlib import Path

import pytest
import torch
from support.tiny import QUICK
from support.training import best_score, interrupted, train_result

from recsys.experiment.evaluate import evaluate
from recsys.inference.recommender import Recommender
from recsys.runs.checkpoint import load_checkpoint
from recsys.runs.folder import checkpoint_in

CYCLES = [*QUICK, "schedule.cycle_epochs=2", "optimizer.lr=0.01", "max_epochs=8", "patience=100"]
SWA = [*CYCLES, "averaging=swa"]


def weights(folder: Path, name: str = "last") -> dict[str, torch.Tensor]:
    return load_checkpoint(checkpoint_in(folder, name)).scorer.state_dict()


def assert_close(weights: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert weights.keys() == expected.keys()
    for name in weights:
        torch.testing.assert_close(weights[name], expected[name], atol=1e-6, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("first", [1, 3])
def test_swa_is_the_mean_of_the_weights_at_cycle_ends(compose, first: int, tmp_path: Path) -> None:
    """Shorter runs without averaging end with the weights that are averaged."""
    at_ends = []
    for epochs in (2, 4, 6, 8)[first - 1 :]:
        train_result(compose(*CYCLES, f"max_epochs={epochs}"), tmp_path / str(epochs))
        at_ends.append(weights(tmp_path / str(epochs)))
    train_result(compose(*SWA, f"averaging.first_cycle={first}"), tmp_path / "swa")
    expected = {name: torch.stack([end[name] for end in at_ends]).mean(0) for name in at_ends[0]}
    assert_close(weights(tmp_path / "swa"), expected)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("schedule", "options"),
    [
        (["schedule.cycle_epochs=2"], ["averaging.first_cycle=9"]),  # later than the last cycle
        (["schedule=one-cycle"], []),
    ],
)
def test_the_average_of_one_cycle_end_is_that_end(
    compose, schedule: list[str], options: list[str], tmp_path: Path
) -> None:
    run = [*QUICK, *schedule, "optimizer.lr=0.01", "max_epochs=3", "patience=100"]
    train_result(compose(*run), tmp_path / "plain")
    train_result(compose(*run, "averaging=swa", *options), tmp_path / "swa")
    assert_close(weights(tmp_path / "swa"), weights(tmp_path / "plain"))


@pytest.mark.slow
@pytest.mark.parametrize("first", [1, 4])
def test_averaged_weights_are_validated_and_saved(compose, first: int, tmp_path: Path) -> None:
    """Also at cycle ends before the first that counts, and with a history, which is encoded again."""
    options = ["model=history", "model.head=linear", "data.items=120", f"averaging.first_cycle={first}"]
    result = train_result(compose(*SWA, *options), tmp_path / "run")
    assert result["objective"]["value"] == pytest.approx(best_score(tmp_path / "run"), rel=1e-5)
    own = evaluate(str(tmp_path / "run"), subset="val")[-1]
    assert own["val/rmse"] == pytest.approx(result["objective"]["value"], rel=1e-9)
    assert len(Recommender.load(tmp_path / "run").recommend(7, k=5)) == 5


@pytest.mark.slow
@pytest.mark.parametrize("step", [3, 13, 20])  # 5 steps per epoch: first cycle, later cycle, cycle end
def test_a_resumed_average_equals_an_uninterrupted_one(compose, step: int, tmp_path: Path) -> None:
    cfg = compose(*SWA)
    whole = train_result(cfg, tmp_path / "whole")
    interrupted(cfg, tmp_path / "cut", step)
    resumed = train_result(cfg, tmp_path / "cut", resume=True)
    assert resumed["metrics"] == whole["metrics"]
    assert resumed["objective"] == whole["objective"]
    for name in ("best", "last"):
        found, expected = weights(tmp_path / "cut", name), weights(tmp_path / "whole", name)
        assert [key for key in found if not torch.equal(found[key], expected[key])] == []


@pytest.mark.slow
def test_the_moving_average_is_validated_and_saved(compose, tmp_path: Path) -> None:
    """With steps that are far too long, weights jump around the optimum and their average does not."""
    run = [*QUICK, "data.ratings=2000", "model=bias", "optimizer=sgd", "optimizer.lr=10", "batch_size=50"]
    run += ["optimizer.momentum=0", "optimizer.nesterov=false", "schedule=constant", "max_epochs=12"]
    plain = train_result(compose(*run), tmp_path / "plain")
    averaged = train_result(compose(*run, "averaging=ema", "averaging.decay=0.99"), tmp_path / "ema")
    assert averaged["metrics"]["test/rmse"] < plain["metrics"]["test/rmse"] - 0.01
    own = evaluate(str(tmp_path / "ema"))[-1]
    assert own["test/rmse"] == pytest.approx(averaged["metrics"]["test/rmse"], rel=1e-9)


@pytest.mark.slow
def test_the_moving_average_of_a_history_is_validated_and_saved(compose, tmp_path: Path) -> None:
    options = [
        "model=neumf",
        "model.user.history=true",
        "averaging=ema",
        "averaging.decay=0.9",
        "max_epochs=4",
    ]
    result = train_result(compose(*CYCLES, *options), tmp_path / "run")
    value = evaluate(str(tmp_path / "run"), subset="val")[-1]["val/rmse"]
    assert value == pytest.approx(result["objective"]["value"], rel=1e-9)
    assert value == pytest.approx(best_score(tmp_path / "run"), rel=1e-5)
