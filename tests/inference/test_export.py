import copy
import dataclasses
import json
import subprocess
import sys
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


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["pt2", "onnx"])
def test_a_file_predicts_the_same_as_the_checkpoint(
    recommender: Recommender, suffix: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    if suffix == "onnx":
        for package in exporting.ONNX_PACKAGES:
            pytest.importorskip(package, reason=f"pip install {package}")
    capfd.readouterr()
    path = recommender.export(tmp_path / "new" / f"model.{suffix}")
    assert capfd.readouterr() == ("", "")
    ids = json.loads((tmp_path / "new" / "model.ids.json").read_text())
    users, items = [5, 9, 200, 1], [1, 120, 77, 1]
    user_indices = torch.tensor([ids["users"].index(user) for user in users])
    item_indices = torch.tensor([ids["items"].index(item) for item in items])
    expected = recommender.predict(users, items)
    for size in (1, 2, 4):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            predicted = run_file(path, user_indices[:size], item_indices[:size])
        assert predicted == pytest.approx(expected[:size], abs=1e-5)
    assert ids["scale"] == [1, 5]


def test_a_scorer_of_another_device_is_exported_from_the_cpu(
    recommender: Recommender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The device "meta" stands for a GPU; it has no values that could be copied."""
    checkpoint = recommender.run.checkpoint
    scorer = copy.deepcopy(checkpoint.scorer).to("meta")
    devices = []

    def written(module: torch.nn.Module, path: Path) -> None:
        devices.append(module.scorer.device.type)
        raise RunError("enough")

    monkeypatch.setattr(exporting, "_write", written)
    monkeypatch.setattr(type(scorer), "cpu", lambda self: self.to_empty(device="cpu"))
    with pytest.raises(RunError, match="enough"):
        exporting.export(dataclasses.replace(checkpoint, scorer=scorer), tmp_path / "model.pt2")
    assert devices == ["cpu"]
    assert scorer.device.type == "meta"


@pytest.mark.slow
def test_a_file_that_predicts_differently_is_refused(
    recommender: Recommender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "run_file", lambda path, users, items: run_file(path, users, items) + 0.1)
    with pytest.raises(RunError, match=r"model\.pt2: .* differ from the checkpoint's by up to 0\.1"):
        recommender.export(tmp_path / "model.pt2")
    assert not list(tmp_path.glob("model.*"))


def test_the_suffix_and_the_packages_are_checked(
    recommender: Recommender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"model\.pkl: must end with \.onnx or \.pt2"):
        recommender.export(tmp_path / "model.pkl")
    monkeypatch.setattr(exporting, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install onnx onnxscript onnxruntime"):
        recommender.export(tmp_path / "model.onnx")


@pytest.mark.slow
def test_inference_does_not_import_lightning_or_scikit_learn() -> None:
    """Each takes seconds, which a short command would spend on importing."""
    code = (
        "import sys, recsys.cli.recommend, recsys.inference.recommender, recsys.inference.export;"
        "print([name for name in ('pytorch_lightning', 'lightning', 'sklearn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[]", done.stderr
