"""The defaults, as somebody meets them: trained, asked in every way, compared."""

import json
from pathlib import Path

import pytest
from support.commands import result_in, run
from support.tiny import SMALL

from recsys.errors import ConfigError
from recsys.experiment.train import train
from recsys.inference.recommender import Recommender
from recsys.models.ensemble import Ensemble

TWO_CYCLES = [*SMALL, "data.items=100", "max_epochs=8", "hardware=cpu"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    told = run("train", *TWO_CYCLES, f"output_dir={folder}").stdout
    assert "│ history " in told
    return folder


def test_what_is_handed_over_is_an_average_that_beats_the_mean(trained: Path) -> None:
    result = result_in(trained)
    assert result["model"]["name"] == "history"
    assert isinstance(Recommender.load(trained).network, Ensemble)
    assert result["metrics"]["test/rmse"] < result["baselines"]["global-mean"]["test/rmse"]


def test_is_evaluated_as_it_was_tested(trained: Path) -> None:
    own = json.loads(run("evaluate", f"run={trained}", "format=json").stdout)[-1]
    assert own["model"] == "history"
    assert own["test/rmse"] == pytest.approx(result_in(trained)["metrics"]["test/rmse"], rel=1e-9)


def test_recommends_to_a_user_and_to_somebody_new(trained: Path, tmp_path: Path) -> None:
    items = json.loads(run("recommend", f"run={trained}", "user=9", "k=3", "format=json").stdout)
    assert len({item["item"] for item in items}) == 3
    assert all(1 <= item["prediction"] <= 5 for item in items)
    (tmp_path / "eve.csv").write_text("item,rating\nsynthetic item 3,5\n4,1\n5,4.5\n")
    done = run("recommend", f"run={trained}", "ratings=eve.csv", "k=3", "format=json")
    assert "3 ratings, which tell" in done.stderr
    assert not {item["item"] for item in json.loads(done.stdout)} & {3, 4, 5}


def test_is_explored(trained: Path) -> None:
    done = run("explore", f"run={trained}", "components=2")
    assert done.stdout.splitlines()[-3].startswith("└"), "the table is not followed by notes"
    page = (trained / "explore.html").read_text()
    assert "history on synthetic" in page
    assert "lowest val RMSE" in page
    assert "train RMSE" not in page, "the training loss is a likelihood"
    assert "the network has no biases in rating points" in page


def test_is_exported(trained: Path, tmp_path: Path) -> None:
    assert Recommender.load(trained).export(tmp_path / "model.pt2").exists()  # checks what it has written


def test_is_swept_and_compared(tmp_path: Path) -> None:
    run("train", "-m", *TWO_CYCLES, "logger=none", "model=bias,history", "seed=1,2", "output_dir=sweep")
    lines = json.loads(run("compare", "dir=sweep", "format=json").stdout)
    assert {line["model"] for line in lines} == {"bias", "history"}


def test_ratings_that_are_no_levels_are_told_another_head(compose, tmp_path: Path) -> None:
    anything = [*TWO_CYCLES, "max_epochs=1", "data.step=0"]
    with pytest.raises(ConfigError, match=r"2 to 20 different values; model\.head=sigmoid takes any"):
        train(compose(*anything), tmp_path / "levels")
    train(compose(*anything, "model.head=sigmoid"), tmp_path / "any")
