"""A run with a ranking loss (loss=bpr): its scores order items, and are not ratings."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from support.commands import result_in, run
from support.finished import LEARNED, finished_run
from support.tiny import QUICK

from recsys.cli.explore import explore
from recsys.errors import RunError
from recsys.evaluation.summary import print_summary
from recsys.experiment.evaluate import evaluate
from recsys.inference.export import run_file
from recsys.inference.recommender import Recommender
from recsys.runs.load import load_run

RANKING = [
    *(override for override in LEARNED if not override.startswith("model.")),
    "model=matrix-factorization",
    "loss=bpr",
    "optimizer.weight_decay=0",
    "optimizer.lr=0.05",
    "max_epochs=20",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run(tmp_path_factory.mktemp("run"), RANKING)


@pytest.mark.slow
def test_predictions_are_scores_that_are_not_clipped(folder: Path) -> None:
    recommender, scorer = Recommender.load(folder), load_run(folder).checkpoint.scorer
    assert not scorer.predicts_ratings
    table = recommender.recommend(9, k=120)
    items = table["item"].to_numpy() - 1  # the ids of synthetic items are 1, 2, ...
    scores = scorer.score_catalogue(torch.tensor([8]))[0].numpy()[items]
    np.testing.assert_allclose(table["prediction"], scores, rtol=1e-5)
    assert table["prediction"].max() > 5, "beyond the rating scale"
    assert recommender.predict(9, table["item"][0]) == pytest.approx(scores[0], rel=1e-5)
    pair = torch.tensor([8]), torch.tensor(items[:1])
    assert scorer.predict(*pair).item() == pytest.approx(scores[0], rel=1e-5)


@pytest.mark.slow
def test_the_command_says_that_predictions_are_scores(folder: Path) -> None:
    assert "score" in run("recommend", "user=9", f"run={folder}").stdout


def test_features_that_need_ratings_are_refused(folder: Path) -> None:
    recommender = Recommender.load(folder)
    with pytest.raises(RunError, match=r"describe it by features=, genres= or year="):
        recommender.fold_in_item({1: 5})
    with pytest.raises(RunError, match="predicts scores, which have no known uncertainty"):
        recommender.fold_in_item(genres="Drama").uncertainty(1)
    with pytest.raises(RunError, match=r"on_unknown='bias'.*loss=pointwise"):
        recommender.recommend(999, on_unknown="bias")


def test_evaluation_has_no_rating_metrics(folder: Path) -> None:
    own = evaluate(str(folder))[-1]
    assert (own["test/rmse"], own["test/mae"]) == (None, None)
    assert own["test/ndcg@10"] == pytest.approx(result_in(folder)["metrics"]["test/ndcg@10"], rel=1e-9)


def test_the_closing_table_has_rating_and_ranking_metrics(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    result = result_in(folder)
    print_summary(result, folder)
    lines = [line.strip("│").split("│") for line in capsys.readouterr().out.splitlines() if line[0] == "│"]
    rows = {name.strip(): [value.strip() for value in values] for name, *values in lines}
    columns = ["test/rmse", "test/mae", "test/ndcg@10", "test/recall@10", "val/ndcg@10"]
    assert list(rows) == ["global-mean", "user-item-bias", "popularity", "matrix-factorization"]
    for name, metrics in {**result["baselines"], "matrix-factorization": result["metrics"]}.items():
        assert rows[name] == [f"{metrics[key]:.4f}" if key in metrics else "" for key in columns]


@pytest.mark.slow
def test_the_report_shows_no_rating_errors(folder: Path) -> None:
    report, page = explore(str(folder), top=50, components=2)
    assert any("does not predict ratings" in note for note in report.notes)
    names = {figure.name for figure in report.figures}
    assert names >= {"component-1", "bias-items"}
    assert not {"curves", "calibration"} & names
    result, text = result_in(folder), page.read_text()
    assert f"NDCG@10: popularity {result['baselines']['popularity']['test/ndcg@10']:.4f}" in text
    assert f"{result['metrics']['test/ndcg@10']:.4f}" in text


@pytest.mark.slow
def test_the_exported_file_has_the_scores(folder: Path, tmp_path: Path) -> None:
    file = Recommender.load(folder).export(tmp_path / "network.pt2")
    users, items = torch.arange(100), torch.arange(100)
    expected = load_run(folder).checkpoint.scorer.predict(users, items).numpy()
    assert expected.max() > 5
    np.testing.assert_allclose(run_file(file, users, items), expected, atol=1e-5)


@pytest.mark.slow
def test_two_processes_agree_on_the_best_epoch(tmp_path: Path) -> None:
    options = ["hardware=ddp", "hardware.accelerator=cpu", "loss=bpr", f"output_dir={tmp_path / 'run'}"]
    run("train", *[option for option in QUICK if not option.startswith("hardware")], *options)
    result = result_in(tmp_path / "run")
    validated = json.loads(run("evaluate", f"run={tmp_path / 'run'}", "part=val", "format=json").stdout)
    assert validated[-1]["val/ndcg@10"] == pytest.approx(result["objective"]["value"], rel=1e-9)
    log = (tmp_path / "run" / "train.log").read_text()
    assert f"epoch {result['objective']['epoch'] + 1}: val/ndcg@10 {validated[-1]['val/ndcg@10']:.4f}" in log
