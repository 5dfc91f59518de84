"""Callbacks of the group `callbacks`: what they see, their state, and how many instances there are."""

import datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest
import pytorch_lightning as pl
import torch
from support.commands import modules_in, result_in, run
from support.tiny import QUICK
from support.training import interrupted, train_result

from recsys.errors import ConfigError, RunError, TrainingError
from recsys.experiment.train import train
from recsys.runs.folder import checkpoint_in
from recsys.runs.trust import check_trusted
from recsys.training.module import RatingModule


class Counter(pl.Callback):
    """Counts training batches; its state is the count."""

    created: ClassVar[list["Counter"]] = []

    def __init__(self, start: int = 0) -> None:
        self.count, self.losses, self.gradients, self.metrics = start, [], [], []
        Counter.created.append(self)

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, index: int) -> None:
        assert isinstance(module, RatingModule)
        assert module.trainer is trainer
        self.count += 1
        self.losses.append(float(outputs["loss"]))

    def on_after_backward(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.gradients.append(
            sum(float(p.grad.abs().sum()) for p in module.parameters() if p.grad is not None)
        )

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.metrics.append(sorted(trainer.callback_metrics))

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.count = state_dict["count"]


class KeepsATime(pl.Callback):
    """Its state cannot be read with weights_only=True."""

    def state_dict(self) -> dict[str, Any]:
        return {"since": datetime.datetime(2020, 1, 1)}


COUNTER = [f"+callbacks.counter._target_={__name__}.Counter", "+callbacks.counter.start=100"]


@pytest.fixture(autouse=True)
def no_instances() -> None:
    Counter.created.clear()


def trained() -> list[Counter]:
    """Return the instances that were trained with; validating the configuration creates another one."""
    return [counter for counter in Counter.created if counter.losses]


def test_a_callback_sees_what_a_lightning_callback_sees(compose, tmp_path: Path) -> None:
    train(compose(*QUICK, *COUNTER), tmp_path / "run")
    (counter,) = trained()
    assert counter.count == 100 + 2 * 5
    assert all(loss > 0 for loss in counter.losses)
    assert all(size > 0 for size in counter.gradients)
    assert counter.metrics == [["val/mae", "val/rmse"], ["train/loss", "val/mae", "val/rmse"]]
    content = torch.load(checkpoint_in(tmp_path / "run", "last"), weights_only=True)
    assert content["callbacks"]["Counter"] == {"count": 110}


def test_a_resumed_run_continues_the_state_in_a_new_instance(compose, tmp_path: Path) -> None:
    cfg = compose(*QUICK, *COUNTER)
    interrupted(cfg, tmp_path / "run", 6)
    train_result(cfg, tmp_path / "run", resume=True)
    first, second = trained()
    assert (first.count, second.count) == (106, 110)
    assert len(second.losses) == 4


@pytest.mark.slow
def test_the_two_trainings_of_a_refit_have_instances_of_their_own(compose, tmp_path: Path) -> None:
    result = train_result(compose(*QUICK, *COUNTER, "refit=true", "schedule=constant"), tmp_path / "run")
    first, second = trained()
    assert first.count == 100 + 2 * 5
    assert second.count == 100 + result["refit"]["epochs"] * 6  # 2,700 ratings
    assert second.metrics == []


def test_a_state_that_cannot_be_read_again_is_an_error(compose, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"callbacks: the state_dict of KeepsATime cannot be saved"):
        train(compose(*QUICK, f"+callbacks.time._target_={__name__}.KeepsATime"), tmp_path / "run")


def test_early_stopping_of_lightning_works(compose, tmp_path: Path) -> None:
    stop = "_target_:pytorch_lightning.callbacks.EarlyStopping,monitor:val/mae,patience:1,min_delta:9"
    cfg = compose(*QUICK, "max_epochs=9", "schedule=constant", f"+callbacks.stop={{{stop}}}")
    assert train_result(cfg, tmp_path / "run")["time"]["epochs"] == 2


MONITOR = "+callbacks.stats._target_=pytorch_lightning.callbacks.DeviceStatsMonitor"


def test_the_device_monitor_of_lightning_works(compose, tmp_path: Path) -> None:
    pytest.importorskip("psutil", reason="pip install psutil")
    options = ["trainer.log_every_n_steps=1", "logger=csv"]
    train_result(compose(*QUICK, *options, MONITOR), tmp_path / "run")
    assert "DeviceStatsMonitor" in (tmp_path / "run" / "metrics.csv").read_text()


def test_what_a_callback_needs_is_an_error_before_training(compose, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"trainer or callbacks: Cannot use `DeviceStatsMonitor` .*logger=False"
    ):
        train(compose(*QUICK, MONITOR), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_callbacks_of_a_run_are_code_that_is_not_trusted(
    compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resuming on the command line reads the callbacks from the run folder."""
    (tmp_path / "owncallback.py").write_text("from pytorch_lightning import Callback as Mine")
    monkeypatch.syspath_prepend(tmp_path)
    interrupted(compose(*QUICK, "+callbacks.mine._target_=owncallback.Mine"), tmp_path / "run", 6)
    own = modules_in(tmp_path)
    refused = run("train", "run=run", "resume=true", code=1, **own)
    assert "uses 'owncallback.Mine', which is not part of recsys" in refused.stderr
    run("train", "run=run", "resume=true", "+callbacks.mine._target_=owncallback.Mine", **own)
    assert result_in(tmp_path / "run")["status"] == "completed"


def test_a_run_that_names_lightnings_monitor_is_trusted(compose, tmp_path: Path) -> None:
    check_trusted({"_target_": "pytorch_lightning.callbacks.DeviceStatsMonitor"}, tmp_path)
    check_trusted({"_target_": "torchmetrics.MeanAbsolutePercentageError"}, tmp_path)
    with pytest.raises(RunError):
        check_trusted({"_target_": "pytorch_lightning.callbacks.ModelCheckpoint"}, tmp_path)
