"""Arguments of the Trainer and the callbacks of recsys work together: schedules, cycle ends, resuming, profiles."""

import logging
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from support.commands import run as command
from support.tiny import PLAIN, SHORT, SMALL
from support.training import interrupted, train_result
from support.weights import saved_weights

from recsys.errors import ConfigError, TrainingError
from recsys.experiment.train import train
from recsys.runs.checkpoint import load_checkpoint
from recsys.runs.folder import checkpoint_in

# Six batches in an epoch; cycles end after epochs 2 and 4.
RUN = [
    *SMALL,
    *PLAIN,
    *SHORT,
    "batch_size=400",
    "max_epochs=4",
    "schedule.cycle_epochs=2",
    "optimizer.lr=0.02",
]


class Recorder(pl.Callback):
    """Records batches and steps of each epoch, learning rates, ratings, and when validations run."""

    def __init__(self) -> None:
        self.epochs: list[tuple[int, int]] = []
        self.rates: list[float] = []
        self.users: list[list[int]] = []
        self.validations: list[tuple[int, int]] = []

    def on_train_batch_start(self, trainer: pl.Trainer, module: Any, batch: Any, index: int) -> None:
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])
        self.users.append(batch.users.tolist())

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.epochs.append((len(self.rates), trainer.global_step))

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.validations.append((trainer.current_epoch, trainer.global_step))


def recorded(cfg: Any, folder: Path) -> tuple[Recorder, dict[str, Any]]:
    recorder = Recorder()
    return recorder, train_result(cfg, folder, callbacks=[recorder])


def test_shorter_epochs_have_a_schedule_of_their_length(compose, tmp_path: Path) -> None:
    recorder, result = recorded(compose(*RUN, "trainer.limit_train_batches=3"), tmp_path / "run")
    assert recorder.epochs == [(3, 3), (6, 6), (9, 9), (12, 12)]
    assert recorder.rates[:6] == recorder.rates[6:]
    assert recorder.rates[0] == max(recorder.rates) == 0.02
    assert result["objective"]["epoch"] + 1 in (2, 4)


def test_accumulated_batches_are_one_step_of_the_schedule(compose, tmp_path: Path) -> None:
    """Four batches at a time: the last step of an epoch has two."""
    cfg = compose(*RUN, "trainer.accumulate_grad_batches=4", "averaging=swa")
    recorder, _ = recorded(cfg, tmp_path / "run")
    assert recorder.epochs == [(6, 2), (12, 4), (18, 6), (24, 8)]
    assert recorder.rates[0] == recorder.rates[12] == max(recorder.rates)
    content = torch.load(checkpoint_in(tmp_path / "run", "last"), weights_only=True)
    assert content["averaging_state"]["n_averaged"] == 3  # epochs 1, 2 and 4


def test_overfitting_repeats_the_same_batches(compose, tmp_path: Path) -> None:
    recorder, _ = recorded(compose(*RUN, "trainer.overfit_batches=2"), tmp_path / "run")
    assert recorder.epochs[0] == (2, 2)
    assert recorder.users[:2] == recorder.users[2:4] == recorder.users[6:]
    assert recorder.users[0] != recorder.users[1]


def test_validating_within_an_epoch_changes_no_result(compose, tmp_path: Path) -> None:
    """Weights are compared at the ends of cycles only, although the epoch of a cycle end has three validations."""
    often, result = recorded(compose(*RUN, "trainer.val_check_interval=2"), tmp_path / "often")
    assert [step for _, step in often.validations] == list(range(2, 25, 2))
    assert result["metrics"] == train_result(compose(*RUN), tmp_path / "once")["metrics"]
    assert load_checkpoint(checkpoint_in(tmp_path / "often")).step in (12, 24)


def test_an_epoch_has_to_end_with_a_validation(compose, tmp_path: Path) -> None:
    message = r"trainer\.val_check_interval=4: validates after 4 batches, and an epoch has 6"
    with pytest.raises(ConfigError, match=message):
        train(compose(*RUN, "trainer.val_check_interval=4"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_epochs_without_validation_are_not_selected_and_leave_no_snapshot(
    compose, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = [*RUN, "schedule.cycle_epochs=1", "max_epochs=5", "patience=9"]
    train(compose(*options, "snapshots=5"), tmp_path / "always")
    rarely = compose(*options, "snapshots=3", "trainer.check_val_every_n_epoch=2")
    with caplog.at_level(logging.INFO, "recsys"):
        recorder, result = recorded(rarely, tmp_path / "rarely")
    assert [epoch for epoch, _ in recorder.validations] == [1, 3]
    assert result["objective"]["epoch"] in (1, 3)
    always, found = (
        torch.load(checkpoint_in(tmp_path / name, "last"), weights_only=True)["scorers"]
        for name in ("always", "rarely")
    )
    for number, scorer in zip((1, 3, 4), found, strict=True):  # after epochs 2 and 4, and the current one
        assert all(torch.equal(scorer[name], value) for name, value in always[number].items())
    assert "epoch 3 of 5" in caplog.messages  # not the metrics of epoch 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "step"),
    [
        ("trainer.limit_train_batches=3", 4),
        ("trainer.limit_train_batches=3", 6),  # the last step of an epoch
        ("trainer.accumulate_grad_batches=4", 3),
        ("trainer.overfit_batches=4", 5),
        ("trainer.val_check_interval=2", 15),
        ("trainer.check_val_every_n_epoch=2", 15),
    ],
)
def test_a_resumed_run_equals_an_uninterrupted_one(compose, option: str, step: int, tmp_path: Path) -> None:
    cfg = compose(*RUN, option)
    interrupted(cfg, tmp_path / "run", step)
    resumed = train_result(cfg, tmp_path / "run", resume=True)
    expected = train_result(cfg, tmp_path / "whole")
    assert resumed["metrics"] == expected["metrics"]
    found, whole = (saved_weights(checkpoint_in(tmp_path / name, "last")) for name in ("run", "whole"))
    assert all(torch.equal(found[name], value) for name, value in whole.items())


def test_a_try_out_writes_nothing(compose, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "recsys"):
        run = train(compose(*RUN, "trainer=debug", "logger=tensorboard"), tmp_path / "run")
    assert (run.metrics, run.result) == ({}, {})
    assert not list(tmp_path.iterdir())
    assert (
        caplog.messages[-1] == "trainer.fast_dev_run: training and validation work; no run folder was written"
    )


def test_a_try_out_has_nothing_to_resume(compose, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"trainer\.fast_dev_run=True: writes no checkpoint and no result"):
        train(compose(*RUN, "trainer=debug"), tmp_path / "run", resume=True)


@pytest.mark.parametrize("profiler", ["simple", "advanced"])
def test_a_profile_is_in_the_run_folder_and_the_log_says_so(compose, profiler: str, tmp_path: Path) -> None:
    cfg = compose(*RUN, "max_epochs=1", "trainer=profile", f"trainer.profiler={profiler}")
    train(cfg, tmp_path / "run")
    file = tmp_path / "run" / "fit-profile.txt"
    assert "training_step" in file.read_text()
    assert f"profile: {file}" in (tmp_path / "run" / "train.log").read_text()


@pytest.mark.slow
def test_the_profiler_of_torch_works(tmp_path: Path) -> None:
    """In a process of its own, because it reports warnings when Python exits."""
    command("train", *RUN, "output_dir=run", "trainer=profile", "trainer.profiler=pytorch")
    assert "aten::" in (tmp_path / "run" / "fit-profile.txt").read_text()


def test_a_share_of_less_than_one_batch_is_an_error_before_training(compose, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"trainer or callbacks: .*limit_train_batches.*at least"):
        train(compose(*RUN, "trainer.limit_train_batches=0.01"), tmp_path / "run")


class StopsAfterOneEpoch(pl.Callback):
    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        trainer.should_stop = True


def test_training_that_ends_before_a_cycle_has_selected_nothing(compose, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"before the first cycle of the schedule.*schedule=constant"):
        train(compose(*RUN), tmp_path / "run", callbacks=[StopsAfterOneEpoch()])
