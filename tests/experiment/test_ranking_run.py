"""A run whose loss makes an order (loss=bpr): what it answers, and what it must not be asked."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from support.commands import result_in, run
from support.finished import LEARNED, finished_run
from support.tiny import QUICK

from recsys.cli.evaluate import evaluate
from recsys.cli.explore import explore
from recsys.errors import RunError
from recsys.evaluation.summary import print_summary
from recsys.inference.export import run_file
from recsys.inference.recommender import Recommender

LISTS = [
    *(word for word in LEARNED if not word.startswith("model.")),
    "model=matrix-factorization",
    "loss=bpr",
    "optimizer.weight_decay=0",
    "optimizer.lr=0.05",
    "max_epochs=20",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run(tmp_path_factory.mktemp("run"), LISTS)


def test_recommends_by_scores_that_are_not_clipped(folder: Path) -> None:
    recommender = Recommender.load(folder)
    network = recommender.network
    items = recommender.recommend(9, k=120)
    rows = recommender.catalogue.rows(items["item"].to_numpy())
    scores = network.score(torch.tensor([8]))[0].numpy()[rows]
    np.testing.assert_allclose(items["prediction"], scores, rtol=1e-5)
    assert items["prediction"].max() > 5, "beyond the scale of ratings"
    assert recommender.predict(9, items["item"][0]) == pytest.approx(scores[0], rel=1e-5)
    with torch.no_grad():
        assert network(torch.tensor([8]), torch.tensor(rows[:1])).item() == pytest.approx(scores[0], rel=1e-5)


def test_says_what_a_prediction_is(folder: Path) -> None:
    assert (
        "a prediction is a score that orders this user's items"
        in run("recommend", "user=9", f"run={folder}").stdout
    )


def test_makes_no_ratings_of_scores(folder: Path) -> None:
    recommender = Recommender.load(folder)
    with pytest.raises(RunError, match=r"somebody new is found by ratings, .*loss=pointwise"):
        recommender.fold_in({1: 5})
    with pytest.raises(RunError, match=r"on_unknown='bias' answers with ratings, .*loss=pointwise"):
        recommender.recommend(999, on_unknown="bias")


def test_is_measured_without_an_error(folder: Path) -> None:
    own = evaluate(str(folder))[-1]
    assert (own["test/rmse"], own["test/mae"]) == (None, None)
    assert own["test/ndcg@10"] == pytest.approx(result_in(folder)["metrics"]["test/ndcg@10"], rel=1e-9)


def test_the_closing_table_has_errors_and_lists_side_by_side(folder: Path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    result = result_in(folder)
    print_summary(result, folder)
    told = [line.strip("│").split("│") for line in capsys.readouterr().out.splitlines() if line[0] == "│"]
    lines = {name.strip(): [value.strip() for value in values] for name, *values in told}
    columns = ["test/rmse", "test/mae", "test/ndcg@10", "test/recall@10", "val/ndcg@10"]
    assert list(lines) == ["global-mean", "user-item-bias", "popularity", "matrix-factorization"]
    for name, metrics in {**result["baselines"], "matrix-factorization": result["metrics"]}.items():
        assert lines[name] == [f"{metrics[key]:.4f}" if key in metrics else "" for key in columns]


def test_the_report_shows_no_rating_errors(folder: Path) -> None:
    report, page = explore(str(folder), top=50, components=2)
    assert any("does not predict ratings" in note for note in report.notes)
    names = {figure.name for figure in report.figures}
    assert {"component-1", "bias-items"} <= names
    assert not {"curves", "calibration"} & names
    ndcg = result_in(folder)["metrics"]["test/ndcg@10"]
    assert f"NDCG@10: popularity {result_in(folder)['baselines']['popularity']['test/ndcg@10']:.4f}" in (
        page.read_text()
    )
    assert f"{ndcg:.4f}" in page.read_text()


def test_is_exported_with_its_scores(folder: Path, tmp_path: Path) -> None:
    recommender = Recommender.load(folder)
    file = recommender.export(tmp_path / "network.pt2")
    users, items = torch.arange(100), torch.arange(100)
    with torch.no_grad():
        expected = recommender.network(users, items).numpy()
    assert expected.max() > 5
    np.testing.assert_allclose(run_file(file, users, items), expected, atol=1e-5)


def test_two_processes_agree_on_the_best_epoch(tmp_path: Path) -> None:
    options = ["hardware=ddp", "hardware.accelerator=cpu", "loss=bpr", f"output_dir={tmp_path / 'run'}"]
    run("train", *[option for option in QUICK if not option.startswith("hardware")], *options)
    result = result_in(tmp_path / "run")
    validated = json.loads(run("evaluate", f"run={tmp_path / 'run'}", "part=val", "format=json").stdout)
    assert validated[-1]["val/ndcg@10"] == pytest.approx(result["objective"]["value"], rel=1e-9)
    log = (tmp_path / "run" / "train.log").read_text()
    assert f"epoch {result['objective']['epoch'] + 1}: val/ndcg@10 {validated[-1]['val/ndcg@10']:.4f}" in log
