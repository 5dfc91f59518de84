"""refit=true: the validation set selects the number of epochs, then the network is trained on it, too."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from support.commands import result_in
from support.finished import finished_run
from support.training import SendSignal, train_result

from recsys.config.validate import validate
from recsys.data.datamodule import MovieLensDataModule
from recsys.errors import ConfigError, RunError, Stopped
from recsys.experiment import training_run
from recsys.experiment.average import average
from recsys.experiment.evaluate import evaluate
from recsys.experiment.train import train
from recsys.models.choice import JointScorer
from recsys.runs.checkpoint import load_checkpoint
from recsys.runs.data import load_data
from recsys.runs.folder import checkpoint_in
from recsys.training.build import build_data, build_module

# Item biases with a high learning rate: the validation error is lowest before the last epoch.
BIAS = ["data=synthetic", "data.ratings=1500", "data.users=60", "data.items=50", "model=bias", "hardware=cpu"]
BIAS += [
    "logger=none",
    "max_epochs=6",
    "optimizer.lr=0.05",
    "schedule.cycle_epochs=2",
    "patience=2",
    "snapshots=2",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run(tmp_path_factory.mktemp("refit"), [*BIAS, "refit=true"])


@pytest.mark.slow
def test_the_second_training_has_all_ratings_outside_the_test_set(
    compose, folder: Path, tmp_path: Path
) -> None:
    """Its last snapshot equals a network trained in a plain Trainer on both sets for as many epochs."""
    result = result_in(folder)
    data: MovieLensDataModule = build_data(compose(*BIAS))
    data.setup()
    n_train, val = len(data.split.train), data.split.val
    data.train_on_validation_set()
    assert len(data.split.train) == n_train + len(val) == result["refit"]["ratings"]
    assert np.isin(val, data.split.train).all()
    module = build_module(compose(*BIAS), data)
    options = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=result["refit"]["epochs"], limit_val_batches=0, **options
    )
    trainer.fit(module, data)
    scorer = load_checkpoint(checkpoint_in(folder)).scorer
    last = scorer.members[-1] if hasattr(scorer, "members") else scorer
    expected = module.network.scorer().state_dict()
    assert expected.keys() == last.state_dict().keys()
    for name, value in last.state_dict().items():
        assert torch.equal(value, expected[name]), name


def test_the_validation_set_measures_the_first_training_only(compose, folder: Path, tmp_path: Path) -> None:
    result, plain = result_in(folder), train_result(compose(*BIAS), tmp_path / "plain")
    metrics = {name: value for name, value in result["metrics"].items() if name.startswith("val/")}
    assert metrics == {name: value for name, value in plain["metrics"].items() if name.startswith("val/")}
    assert result["objective"] == plain["objective"]
    assert result["refit"]["epochs"] == plain["objective"]["epoch"] + 1
    assert result["metrics"]["test/rmse"] != plain["metrics"]["test/rmse"]
    assert plain["refit"] is None
    assert result["data"]["split"] == plain["data"]["split"], "so that both can be compared"


def test_a_refit_run_is_evaluated_as_it_was_tested(folder: Path) -> None:
    result, rows = result_in(folder), evaluate(str(folder))
    for model, row in ((row["model"], row) for row in rows):
        expected = result["metrics"] if model == "bias" else result["baselines"][model]
        for name in ("test/rmse", "test/ndcg@10"):
            assert row[name] == (None if name not in expected else pytest.approx(expected[name], abs=1e-6)), (
                model
            )
    with pytest.raises(ConfigError, match=r"part=val: .* was trained on its validation set"):
        evaluate(str(folder), "val")


@pytest.mark.slow
def test_refit_runs_are_averaged(folder: Path, tmp_path: Path) -> None:
    """The validation metrics are the means of those of the first trainings."""
    other = finished_run(tmp_path / "other", [*BIAS, "refit=true", "seed=2"])
    averaged = average([folder, other], tmp_path / "average").result
    members = [result_in(folder), result_in(other)]
    assert members[0]["metrics"] != members[1]["metrics"]
    for name in ("val/rmse", "val/mae"):
        assert averaged["metrics"][name] == pytest.approx(np.mean([m["metrics"][name] for m in members]))
    assert averaged["data"]["split"] == members[0]["data"]["split"]
    assert averaged["refit"]["ratings"] == members[0]["refit"]["ratings"]
    (row,) = [row for row in evaluate(str(tmp_path / "average"), "test") if row["model"] == "bias"]
    assert averaged["metrics"]["test/rmse"] == row["test/rmse"]
    assert averaged["metrics"]["test/rmse"] <= np.mean([m["metrics"]["test/rmse"] for m in members])
    with pytest.raises(ConfigError, match="was trained on its validation set"):
        evaluate(str(tmp_path / "average"), "val")


@pytest.mark.slow
def test_a_refit_run_is_not_averaged_with_another(folder: Path, tmp_path: Path) -> None:
    other = finished_run(tmp_path / "other", BIAS)
    with pytest.raises(RunError, match=r"differ in refit \(True and False\): they cannot be averaged"):
        average([folder, other])


@pytest.mark.slow
def test_refit_runs_with_different_rankings_are_not_averaged(folder: Path, tmp_path: Path) -> None:
    other = finished_run(tmp_path / "other", [*BIAS, "refit=true", "ranking.k=5"])
    with pytest.raises(RunError, match="differ in ranking"):
        average([folder, other])


@pytest.mark.slow
def test_users_of_the_validation_set_count_as_trained(compose, folder: Path) -> None:
    data = build_data(compose(*BIAS))
    data.setup()
    data.train_on_validation_set()
    checkpoint = load_checkpoint(checkpoint_in(folder))
    saved = load_data(folder, checkpoint.data, len(checkpoint.user_ids), len(checkpoint.item_ids))
    assert saved.trained_users.sum() == len(np.unique(data.dataset.users[data.split.train]))


def interrupt(monkeypatch: pytest.MonkeyPatch, in_second: bool) -> None:
    """Let a signal arrive after the third step of the first or the second training."""
    build: Callable[..., list] = training_run.build_callbacks

    def build_callbacks(*arguments: Any) -> list:
        is_second = arguments[-1] is not None
        return [*build(*arguments), *([SendSignal(3)] if is_second == in_second else [])]

    monkeypatch.setattr(training_run, "build_callbacks", build_callbacks)


@pytest.mark.slow
@pytest.mark.parametrize("in_second", [False, True])
def test_an_interrupted_run_ends_as_an_uninterrupted_one(
    compose, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_second: bool
) -> None:
    cfg = compose(*BIAS, "refit=true")
    with monkeypatch.context() as patched:
        interrupt(patched, in_second)
        with pytest.raises(
            Stopped, match=rf"recsys-train run={re.escape(str(tmp_path / 'run'))} resume=true"
        ):
            train(cfg, tmp_path / "run")
    assert not (tmp_path / "run" / "result.json").exists()
    assert (tmp_path / "run" / "first-training" / "selection.json").exists() == in_second
    result, expected = train(cfg, tmp_path / "run", resume=True).result, result_in(folder)
    assert result["metrics"] == expected["metrics"]
    assert (result["objective"], result["refit"]) == (expected["objective"], expected["refit"])


@pytest.mark.slow
def test_a_damaged_record_of_the_first_training_is_an_error(
    compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg: DictConfig = compose(*BIAS, "refit=true")
    with monkeypatch.context() as patched:
        interrupt(patched, in_second=True)
        with pytest.raises(Stopped):
            train(cfg, tmp_path / "run")
    record = tmp_path / "run" / "first-training" / "selection.json"
    content = json.loads(record.read_text())
    for changes, message in (
        ({"epoch": 99}, "epoch=99, epochs="),
        ({"epochs": 10**12}, "epochs=1000000000000: .*max_epochs="),
        ({"epoch": "1"}, "epoch"),
        ({"metrics": {}}, "metrics.val/rmse is missing"),
        ({"metrics": {"val/mae": 0.5}}, "metrics.val/rmse is missing"),
        ({"metrics": {"val/rmse": 0.5, "rmse": 0.5}}, "not a valid record"),
    ):
        record.write_text(json.dumps(content | changes))
        with pytest.raises(RunError, match=message):
            train(cfg, tmp_path / "run", resume=True)


@pytest.mark.slow
def test_the_weight_of_ratings_in_rankings_is_that_of_the_first_training(compose, tmp_path: Path) -> None:
    """The second training has no validation set to choose it with."""
    options = [
        "data=synthetic",
        "data.ratings=1500",
        "data.users=60",
        "data.items=50",
        "hardware=cpu",
        "logger=none",
    ]
    train(compose(*options, "max_epochs=4", "refit=true"), tmp_path / "run")
    selection = json.loads((tmp_path / "run" / "first-training" / "selection.json").read_text())
    scorer = load_checkpoint(checkpoint_in(tmp_path / "run")).scorer
    weights = {float(one.relevance_weight) for one in scorer.modules() if isinstance(one, JointScorer)}
    assert weights == {selection["relevance_weight"]}
    assert set(result_in(tmp_path / "run")["ranking"]["relevance_weights"]) == weights


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["averaging=ema", "snapshots=1"], "refit=true: not possible with averaging"),
        (["hardware=ddp", "hardware.accelerator=cpu"], "refit=true: needs a single process"),
    ],
)
def test_what_refit_cannot_be_combined_with(compose, options: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validate(compose(*BIAS, "refit=true", *options))
