import json
import warnings
from pathlib import Path

import pytest
import torch
from support.finished import LEARNED, finished_run

from recsys.errors import ConfigError, RunError
from recsys.inference import export as exporting
from recsys.inference.export import run_file
from recsys.inference.recommender import Recommender


@pytest.fixture(scope="module")
def recommender(tmp_path_factory: pytest.TempPathFactory) -> Recommender:
    folder = tmp_path_factory.mktemp("run")
    return Recommender.load(finished_run(folder, [*LEARNED, "max_epochs=1"]))


@pytest.mark.parametrize("suffix", ["pt2", "onnx"])
def test_a_file_rates_as_the_checkpoint_does(
    recommender: Recommender, suffix: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    if suffix == "onnx":
        for package in exporting.ONNX:
            pytest.importorskip(package, reason=f"pip install {package}")
    capfd.readouterr()
    path = recommender.export(tmp_path / "new" / f"model.{suffix}")
    assert capfd.readouterr() == ("", "")
    ids = json.loads((tmp_path / "new" / "model.ids.json").read_text())
    users, items = [5, 9, 200, 1], [1, 120, 77, 1]
    rows = (
        torch.tensor([ids["users"].index(u) for u in users]),
        torch.tensor([ids["items"].index(m) for m in items]),
    )
    expected = recommender.predict(users, items)
    for size in (1, 2, 4):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = run_file(path, rows[0][:size], rows[1][:size])
        assert found == pytest.approx(expected[:size], abs=1e-5)
    assert ids["scale"] == [1, 5]


def test_a_file_that_rates_differently_is_refused(
    recommender: Recommender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "run_file", lambda path, users, items: run_file(path, users, items) + 0.1)
    with pytest.raises(RunError, match=r"rates differently from the checkpoint, by up to 0\.1"):
        recommender.export(tmp_path / "model.pt2")


def test_needs_a_known_suffix_and_its_packages(
    recommender: Recommender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"ends with \.onnx or \.pt2 expected"):
        recommender.export(tmp_path / "model.pkl")
    monkeypatch.setattr(exporting, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install onnx onnxscript onnxruntime"):
        recommender.export(tmp_path / "model.onnx")
