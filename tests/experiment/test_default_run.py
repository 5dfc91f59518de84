"""The default configuration: trained, evaluated, asked for recommendations, explored, exported and swept."""

import json
from pathlib import Path

import pytest
from support.commands import result_in, run
from support.tiny import SMALL
from support.training import train_result

from recsys.errors import ConfigError
from recsys.inference.recommender import Recommender
from recsys.models.ensemble import EnsembleScorer
from recsys.runs.load import load_run

TWO_CYCLES = [*SMALL, "data.items=100", "max_epochs=8", "hardware=cpu"]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of recsys-train."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    assert "│ history " in run("train", *TWO_CYCLES, f"output_dir={folder}").stdout
    return folder


def test_the_result_is_an_ensemble_that_is_better_than_the_mean(folder: Path) -> None:
    result = result_in(folder)
    assert result["model"]["name"] == "history"
    assert isinstance(load_run(folder).checkpoint.scorer, EnsembleScorer)
    assert result["metrics"]["test/rmse"] < result["baselines"]["global-mean"]["test/rmse"]


def test_evaluation_repeats_the_test_metrics(folder: Path) -> None:
    own = json.loads(run("evaluate", f"run={folder}", "format=json").stdout)[-1]
    assert own["model"] == "history"
    assert own["test/rmse"] == pytest.approx(result_in(folder)["metrics"]["test/rmse"], rel=1e-9)


def test_recommendations_for_a_user_and_for_a_new_user(folder: Path, tmp_path: Path) -> None:
    items = json.loads(run("recommend", f"run={folder}", "user=9", "k=3", "format=json").stdout)
    assert len({item["item"] for item in items}) == 3
    assert all(1 <= item["prediction"] <= 5 for item in items)
    (tmp_path / "eve.csv").write_text("item,rating\nsynthetic item 3,5\n4,1\n5,4.5\n")
    done = run("recommend", f"run={folder}", "ratings=eve.csv", "k=3", "format=json")
    assert "3 ratings" in done.stderr
    assert not {item["item"] for item in json.loads(done.stdout)} & {3, 4, 5}


def test_the_report_shows_everything_that_the_network_has(folder: Path) -> None:
    done = run("explore", f"run={folder}", "components=2")
    assert done.stdout.splitlines()[-3].startswith("└"), "the table is not followed by notes"
    page = (folder / "explore.html").read_text()
    assert "history on synthetic" in page
    assert "Their val RMSE is" in page
    assert "train RMSE" not in page, "the training loss is a likelihood"
    assert "the network has no biases in rating points" in page


def test_the_scorer_is_exported(folder: Path, tmp_path: Path) -> None:
    assert Recommender.load(folder).export(tmp_path / "model.pt2").exists()  # compares it with the checkpoint


def test_a_sweep_is_compared(tmp_path: Path) -> None:
    run("train", "-m", *TWO_CYCLES, "logger=none", "model=bias,history", "seed=1,2", "output_dir=sweep")
    rows = json.loads(run("compare", "dir=sweep", "format=json").stdout)
    assert {row["model"] for row in rows} == {"bias", "history"}


def test_a_continuous_scale_needs_another_head(compose, tmp_path: Path) -> None:
    continuous = [*TWO_CYCLES, "max_epochs=1", "data.step=0"]
    with pytest.raises(ConfigError, match=r"model\.head=ordinal: .*2 to 20 .*model\.head=sigmoid"):
        train_result(compose(*continuous, "model.head=ordinal"), tmp_path / "ordinal")
    train_result(compose(*continuous), tmp_path / "auto")  # the default chooses a sigmoid
