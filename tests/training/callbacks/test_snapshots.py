"""A snapshot ensemble averages the scorers of the last cycle ends."""

from pathlib import Path

import pytest
import torch
from support.tiny import QUICK
from support.training import best_score, interrupted, train_result

from recsys.experiment.evaluate import evaluate
from recsys.inference.recommender import Recommender
from recsys.models.ensemble import EnsembleScorer
from recsys.runs.checkpoint import load_checkpoint
from recsys.runs.folder import checkpoint_in

CYCLES = [*QUICK, "schedule.cycle_epochs=2", "optimizer.lr=0.01", "max_epochs=8", "patience=100"]


@pytest.mark.slow
def test_the_ensemble_has_the_networks_of_the_last_cycle_ends(compose, tmp_path: Path) -> None:
    """Shorter runs without snapshots end with these networks."""
    at_ends = []
    for epochs in (4, 6, 8):
        result = train_result(compose(*CYCLES, f"max_epochs={epochs}"), tmp_path / str(epochs))
        at_ends.append(load_checkpoint(checkpoint_in(tmp_path / str(epochs), "last")).scorer)
    averaged = train_result(compose(*CYCLES, "snapshots=3"), tmp_path / "average")
    last = load_checkpoint(checkpoint_in(tmp_path / "average", "last"))
    ensemble = last.scorer
    assert isinstance(ensemble, EnsembleScorer)
    assert len(ensemble.members) == 3
    users, items = torch.arange(40), torch.arange(40)
    expected = torch.stack([scorer(users, items) for scorer in at_ends]).mean(0)
    assert torch.equal(ensemble(users, items), expected)
    assert last.model["snapshots"] == 3
    assert averaged["model"]["parameters"] == result["model"]["parameters"]  # of one network


@pytest.mark.slow
def test_the_ensemble_is_validated_and_saved(compose, tmp_path: Path) -> None:
    result = train_result(compose(*CYCLES, "snapshots=2"), tmp_path / "run")
    own = evaluate(str(tmp_path / "run"), subset="val")[-1]
    assert own["val/rmse"] == pytest.approx(result["objective"]["value"], rel=1e-9)
    assert own["val/rmse"] == pytest.approx(best_score(tmp_path / "run"), rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("step", [13, 20])  # 5 steps per epoch, 10 per cycle: within a cycle, at a cycle end
def test_a_resumed_ensemble_equals_an_uninterrupted_one(compose, step: int, tmp_path: Path) -> None:
    cfg = compose(*CYCLES, "snapshots=3")
    whole = train_result(cfg, tmp_path / "whole")
    interrupted(cfg, tmp_path / "cut", step)
    resumed = train_result(cfg, tmp_path / "cut", resume=True)
    assert resumed["metrics"] == whole["metrics"]
    assert resumed["objective"] == whole["objective"]
    found, expected = (
        load_checkpoint(checkpoint_in(tmp_path / name)).scorer.state_dict() for name in ("cut", "whole")
    )
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in found)


@pytest.mark.slow
def test_an_ensemble_evaluates_recommends_folds_in_and_exports(compose, tmp_path: Path) -> None:
    options = ["snapshots=2", "model=neumf", "model.user.history=true", "data.items=120"]
    result = train_result(compose(*CYCLES, *options), tmp_path / "run")
    (own,) = [row for row in evaluate(str(tmp_path / "run")) if row["model"] == "history"]
    assert own["test/rmse"] == pytest.approx(result["metrics"]["test/rmse"], rel=1e-9)
    recommender = Recommender.load(tmp_path / "run")
    assert isinstance(recommender.run.checkpoint.scorer, EnsembleScorer)
    assert len(recommender.recommend(7, k=5)) == 5
    liked = recommender.recommend(7, k=3)["item"]
    assert len(recommender.fold_in(dict.fromkeys(liked, 5.0)).recommend(k=4)) == 4
    assert len(recommender.similar_users(3, k=2)) == 2
    assert recommender.export(tmp_path / "model.pt2").exists()  # compares the file with the checkpoint
