import json
import shutil
from pathlib import Path

import pytest
import torch
from support.archives import pack, sample_ratings, tabs_members
from support.tiny import QUICK

from recsys.cli import evaluate as command
from recsys.errors import ConfigError
from recsys.experiment.evaluate import evaluate
from recsys.experiment.train import train
from recsys.runs.folder import write_json

ONCE = ["model=bias", "max_epochs=1", "hardware=cpu", "logger=none"]


def test_own_ratings_are_found_from_any_folder(compose, tmp_path: Path, monkeypatch) -> None:
    rows = [f"u{user},m{item},{1 + (user * item) % 5}" for user in range(30) for item in range(20)]
    (tmp_path / "own.csv").write_text("\n".join(["user,item,rating", *rows]) + "\n")
    result = train(compose(*ONCE, "data=csv", "data.path=own.csv"), tmp_path / "run")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    own = evaluate(str(tmp_path / "run"))[-1]
    assert own["test/rmse"] == pytest.approx(result["metrics"]["test/rmse"], rel=1e-9)


def test_the_mirror_of_today_is_asked(compose, tmp_path: Path, monkeypatch) -> None:
    """LoadedCheckpoint with one mirror, measured where only another is left and nothing has been kept."""
    pack(tmp_path / "then" / "ml-100k.zip", tabs_members(sample_ratings()))
    data = ["data=ml-100k", "data.verify=false", "data.address=http://127.0.0.1:9/x.zip", "~data.package"]
    monkeypatch.setenv("RECSYS_MIRROR", str(tmp_path / "then"))
    result = train(compose(*ONCE, *data, "split.val=0.2", "split.test=0.2", "ranking.k=5"), tmp_path / "run")
    (tmp_path / "then").rename(tmp_path / "now")
    shutil.rmtree(tmp_path / "data")
    monkeypatch.setenv("RECSYS_MIRROR", str(tmp_path / "now"))
    own = evaluate(str(tmp_path / "run"))[-1]
    assert own["test/rmse"] == pytest.approx(result["metrics"]["test/rmse"], rel=1e-9)


def test_lists_are_the_runs_own_or_as_asked(compose, tmp_path: Path) -> None:
    result = train(compose(*QUICK, "model=bias", "ranking.k=5", "ranking.threshold=3.5"), tmp_path / "run")
    mean, _, popularity, own = evaluate(str(tmp_path / "run"))
    tested = {name: value for name, value in result["metrics"].items() if name.startswith("test/")}
    assert own == {"model": "bias"} | {name: pytest.approx(value, rel=1e-9) for name, value in tested.items()}
    assert popularity["test/ndcg@5"] == result["baselines"]["popularity"]["test/ndcg@5"]
    assert (popularity["test/rmse"], mean["test/ndcg@5"]) == (None, None)
    longer = evaluate(str(tmp_path / "run"), k=7)[-1]
    stricter = evaluate(str(tmp_path / "run"), threshold=4.5)[-1]
    assert longer["test/recall@7"] > own["test/recall@5"]
    assert stricter["test/precision@5"] < own["test/precision@5"]
    assert set(evaluate(str(tmp_path / "run"), k=0)[-1]) == {"model", "test/rmse", "test/mae"}
    with pytest.raises(ConfigError, match=r"ranking\.k=-1: should be greater"):
        evaluate(str(tmp_path / "run"), k=-1)


def test_a_run_from_before_there_were_lists_has_them_measured(compose, tmp_path: Path) -> None:
    train(compose(*QUICK, "model=bias"), tmp_path)
    for file in (tmp_path / "checkpoints").iterdir():
        content = torch.load(file, weights_only=True)
        del content["recsys"]["config"]["ranking"], content["recsys"]["config"]["loss"]
        torch.save(content, file)
    own = evaluate(str(tmp_path))[-1]
    assert {"test/rmse", "test/ndcg@10"} <= own.keys()


def test_the_run_named_is_the_run_measured(compose, tmp_path: Path, monkeypatch, capsys) -> None:
    """Even where another one ends in the meantime."""
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
    assert "outputs/first, best weights" in capsys.readouterr().out


def test_a_run_may_be_called_by_a_number(compose, tmp_path: Path, capsys) -> None:
    result = train(compose(*QUICK, "model=bias"), tmp_path / "0")
    capsys.readouterr()
    command._task(compose("run=0", "format=json", name="evaluate"))
    own = json.loads(capsys.readouterr().out)[-1]
    assert own["test/rmse"] == pytest.approx(result["metrics"]["test/rmse"], rel=1e-9)
