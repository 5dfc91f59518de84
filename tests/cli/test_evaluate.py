import json
import shutil
from pathlib import Path

import pytest
from support.archives import pack, sample_ratings, tabs_members
from support.commands import result_in
from support.datasets import write_own_ratings
from support.tiny import QUICK

from recsys.cli import evaluate as command
from recsys.errors import ConfigError
from recsys.experiment.evaluate import evaluate
from recsys.experiment.train import train
from recsys.runs.folder import write_json

ONCE = ["model=bias", "max_epochs=1", "hardware=cpu", "logger=none"]


def test_own_ratings_are_found_from_any_folder(compose, tmp_path: Path, monkeypatch) -> None:
    write_own_ratings(tmp_path / "own.csv")
    train(compose(*ONCE, "data=table", "data.path=own.csv"), tmp_path / "run")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    own = evaluate(str(tmp_path / "run"))[-1]
    expected = result_in(tmp_path / "run")["metrics"]["test/rmse"]
    assert own["test/rmse"] == pytest.approx(expected, rel=1e-9)


def test_the_current_mirror_replaces_the_one_of_the_run(compose, tmp_path: Path, monkeypatch) -> None:
    """The run's mirror does not exist any more, and the cache is empty."""
    pack(tmp_path / "then" / "ml-100k.zip", tabs_members(sample_ratings()))
    data = ["data=ml-100k", "data.verify=false", "data.address=http://127.0.0.1:9/x.zip", "~data.package"]
    monkeypatch.setenv("RECSYS_MIRROR", str(tmp_path / "then"))
    train(compose(*ONCE, *data, "split.val=0.2", "split.test=0.2", "ranking.k=5"), tmp_path / "run")
    (tmp_path / "then").rename(tmp_path / "now")
    shutil.rmtree(tmp_path / "data")
    monkeypatch.setenv("RECSYS_MIRROR", str(tmp_path / "now"))
    own = evaluate(str(tmp_path / "run"))[-1]
    expected = result_in(tmp_path / "run")["metrics"]["test/rmse"]
    assert own["test/rmse"] == pytest.approx(expected, rel=1e-9)


def test_ranking_metrics_follow_the_run_or_the_arguments(compose, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train(compose(*QUICK, "model=bias", "ranking.k=5", "ranking.threshold=3.5"), folder)
    result = result_in(folder)
    mean, _, popularity, own = evaluate(str(folder))
    tested = {name: value for name, value in result["metrics"].items() if name.startswith("test/")}
    assert own == {"model": "bias"} | {name: pytest.approx(value, rel=1e-9) for name, value in tested.items()}
    assert popularity["test/ndcg@5"] == result["baselines"]["popularity"]["test/ndcg@5"]
    assert (popularity["test/rmse"], mean["test/ndcg@5"]) == (None, None)
    longer = evaluate(str(folder), k=7)[-1]
    stricter = evaluate(str(folder), threshold=4.5)[-1]
    assert longer["test/recall@7"] > own["test/recall@5"]
    assert stricter["test/precision@5"] < own["test/precision@5"]
    assert set(evaluate(str(folder), k=0)[-1]) == {"model", "test/rmse", "test/mae"}
    with pytest.raises(ConfigError, match=r"ranking\.k=-1"):
        evaluate(str(folder), k=-1)
    with pytest.raises(ConfigError, match=r"part=all: must be one of train, val, test"):
        evaluate(str(folder), subset="all")


def test_latest_is_resolved_once(compose, tmp_path: Path, monkeypatch, capsys) -> None:
    """Even if another run finishes in the meantime."""
    for name in ("first", "second"):
        (tmp_path / "outputs" / name).mkdir(parents=True)
    write_json(tmp_path / "outputs" / "first" / "result.json", {})
    measured = []

    def measure(run: str, *_: object) -> list[dict]:
        measured.append(command.find_run(run).name)
        write_json(tmp_path / "outputs" / "second" / "result.json", {})
        return [{"model": "bias"}]

    monkeypatch.setattr(command, "evaluate", measure)
    command._task(compose(name="evaluate"))
    assert measured == ["first"]
    assert "outputs/first: best checkpoint, test set" in capsys.readouterr().out


def test_a_run_folder_may_be_a_number_and_a_part_may_be_chosen(compose, tmp_path: Path, capsys) -> None:
    train(compose(*QUICK, "model=bias"), tmp_path / "0")
    metrics = result_in(tmp_path / "0")["metrics"]
    for part in ("val", "test"):
        capsys.readouterr()
        command._task(compose("run=0", f"part={part}", "format=json", name="evaluate"))
        own = json.loads(capsys.readouterr().out)[-1]
        assert own[f"{part}/rmse"] == pytest.approx(metrics[f"{part}/rmse"], rel=1e-9)
