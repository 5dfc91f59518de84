"""Weights are compared at cycle ends, and so is what early stopping looks at."""

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from support.tiny import QUICK
from support.training import best_score, interrupted, synthetic_data, train_result

from recsys.models.bias import Bias
from recsys.runs.checkpoint import load_checkpoint
from recsys.runs.folder import checkpoint_in
from recsys.training.callbacks.cycle_end import (
    CycleEndCheckpoint,
    CycleEndEarlyStopping,
    FinalCheckpoint,
    LastCheckpoint,
)
from recsys.training.module import RatingModule
from recsys.training.schedules import Constant

CYCLES = [*QUICK, "schedule.cycle_epochs=2", "optimizer.lr=0.01", "max_epochs=8", "patience=100"]
RMSE = {"monitor": "val/rmse", "mode": "min"}


def bias_trainer(folder: Path, max_epochs: int, *callbacks: pl.Callback) -> pl.Trainer:
    return pl.Trainer(
        accelerator="cpu",
        max_epochs=max_epochs,
        callbacks=list(callbacks),
        default_root_dir=folder,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )


def fit_biases(
    folder: Path, max_epochs: int, *callbacks: pl.Callback, lr: float = 0.01, **options: Any
) -> pl.Trainer:
    """Train biases in a plain Lightning script."""
    data = synthetic_data()
    trainer = bias_trainer(folder, max_epochs, *callbacks)
    trainer.fit(
        RatingModule(Bias.from_data(data), lr, schedule=Constant()), data, weights_only=True, **options
    )
    return trainer


def test_the_best_weights_are_those_of_a_cycle_end(tmp_path: Path) -> None:
    """The error falls in every epoch, so without cycle ends the last epoch is the best."""
    checkpoint = CycleEndCheckpoint({2, 4}, dirpath=tmp_path, filename="best", **RMSE)
    fit_biases(tmp_path, 5, checkpoint, ModelCheckpoint(tmp_path, "plain", **RMSE))
    saved = {name: torch.load(tmp_path / f"{name}.ckpt", weights_only=True) for name in ("best", "plain")}
    assert {name: content["epoch"] + 1 for name, content in saved.items()} == {"best": 4, "plain": 5}


@pytest.mark.parametrize(
    ("seconds", "saved"), [(0.0, [1, 2, 3, 4, 5, 6, 7]), (1.0, [1, 4, 7]), (60.0, [1, 7])]
)
def test_a_slow_save_of_the_last_state_is_not_repeated_in_every_epoch(
    seconds: float, saved: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An epoch takes 7 seconds. After a save of one second, the next one is due 19 seconds later."""
    now, epochs = [0.0], []
    monkeypatch.setattr("recsys.training.callbacks.cycle_end.time.monotonic", lambda: now[0])

    class Clock(pl.Callback):
        def on_train_epoch_start(self, *_: object) -> None:
            now[0] += 7

        def on_save_checkpoint(self, trainer: pl.Trainer, *_: object) -> None:
            now[0] += seconds
            epochs.append(trainer.current_epoch + 1)

    fit_biases(tmp_path, 7, LastCheckpoint(tmp_path), Clock())
    assert epochs == saved
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["epoch"] == 6


def test_the_last_state_is_saved_when_a_run_stops_early(tmp_path: Path) -> None:
    stopping = CycleEndEarlyStopping(range(1, 13), patience=2, min_delta=0.01, **RMSE)
    last = LastCheckpoint(tmp_path)
    last._next = float("inf")
    trainer = fit_biases(tmp_path, 12, stopping, last, lr=1e-12)
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["epoch"] + 1 == trainer.current_epoch == 3


def test_early_stopping_counts_cycle_ends(tmp_path: Path) -> None:
    """The error does not fall, for the learning rate is as good as 0: two cycle ends after the first are enough."""
    stopping = CycleEndEarlyStopping({3, 6, 9, 12}, patience=2, min_delta=0.01, **RMSE)
    trainer = fit_biases(tmp_path, 12, stopping, lr=1e-12)
    assert trainer.current_epoch == 9


def test_a_stopped_run_that_is_resumed_stops_at_once(tmp_path: Path) -> None:
    last = ModelCheckpoint(tmp_path, "last", enable_version_counter=False)
    options: dict[str, Any] = {"patience": 1, "min_delta": 0.01, **RMSE}
    fit_biases(tmp_path, 5, CycleEndEarlyStopping({1, 2, 3, 4, 5}, **options), last, lr=1e-12)
    again = CycleEndEarlyStopping({1, 2, 3, 4, 5}, **options)
    last = ModelCheckpoint(tmp_path, "last", enable_version_counter=False)
    trainer = fit_biases(tmp_path, 5, again, last, lr=1e-12, ckpt_path=tmp_path / "last.ckpt")
    assert trainer.current_epoch == 2


def test_the_best_score_is_restored_in_a_folder_that_was_moved(tmp_path: Path) -> None:
    """Fails if an upgrade of Lightning changes the keys of the state, which are not public."""
    before = CycleEndCheckpoint({1, 2}, dirpath=tmp_path / "old", filename="best", **RMSE)
    fit_biases(tmp_path, 2, before)
    state = before.state_dict()
    assert {"dirpath", "best_model_path", "best_model_score", "best_k_models", "kth_best_model_path"} <= set(
        state
    )
    (tmp_path / "old").rename(tmp_path / "new")
    after = CycleEndCheckpoint({1, 2}, dirpath=tmp_path / "new", filename="best", **RMSE)
    after.load_state_dict(state)
    assert before.best_model_score is not None
    assert after.best_model_score == before.best_model_score
    assert Path(after.best_model_path) == tmp_path / "new" / "best.ckpt"
    assert Path(after.kth_best_model_path) == tmp_path / "new" / "best.ckpt"
    assert after.best_k_models == {str(tmp_path / "new" / "best.ckpt"): before.best_model_score}
    plain = ModelCheckpoint(tmp_path / "new", "best", **RMSE)
    with pytest.warns(UserWarning, match="dirpath has changed"):
        plain.load_state_dict(state)
    assert (
        plain.best_model_score is None
    )  # otherwise `CycleEndCheckpoint.load_state_dict` is not needed any more


def test_the_checkpoint_of_a_refit_restores_no_paths(tmp_path: Path) -> None:
    """Lightning would remove the file that an untrusted state names."""
    final = FinalCheckpoint(3, dirpath=tmp_path, filename="best")
    before = final.state_dict()
    final.load_state_dict(before | {"best_model_path": str(tmp_path / "other"), "last_model_path": -1})
    assert final.state_dict() == before


@pytest.mark.slow
def test_a_run_that_is_resumed_in_a_moved_folder_keeps_its_best_weights(compose, tmp_path: Path) -> None:
    """Overfits, so that the weights were best before the interruption."""
    overfit = ["optimizer.lr=0.1", "model.dropouts=0", "model.embedding_dropout=0", "batch_size=50"]
    cfg = compose(*CYCLES, *overfit)
    whole = train_result(cfg, tmp_path / "whole")
    assert whole["objective"]["epoch"] < 5
    interrupted(cfg, tmp_path / "cut", 250)  # in the sixth epoch, of 48 steps each
    (tmp_path / "cut").rename(tmp_path / "moved")
    resumed = train_result(cfg, tmp_path / "moved", resume=True)
    assert resumed["objective"] == whole["objective"]
    assert resumed["metrics"] == whole["metrics"]
    assert best_score(tmp_path / "moved", "last") == best_score(tmp_path / "whole", "last")


@pytest.mark.slow
def test_a_run_selects_the_weights_of_a_cycle_end(compose, tmp_path: Path) -> None:
    """Cycles of three epochs in ten end at 3, 6, 9 and, with the run, at 10."""
    options = ["schedule.cycle_epochs=3", "max_epochs=10", "optimizer.lr=0.03", "batch_size=100"]
    for seed in range(3):
        result = train_result(compose(*CYCLES, *options, f"seed={seed}"), tmp_path / str(seed))
        assert result["objective"]["epoch"] + 1 in (3, 6, 9, 10)
        saved = load_checkpoint(checkpoint_in(tmp_path / str(seed)))
        assert saved.epoch == result["objective"]["epoch"]


@pytest.mark.slow
def test_a_run_stops_after_whole_cycles_without_improvement(compose, tmp_path: Path) -> None:
    """Overfits from the start; a patience of four epochs is two cycles of three, rounded up."""
    overfit = ["optimizer.lr=0.1", "model.dropouts=0", "model.embedding_dropout=0", "batch_size=50"]
    options = ["schedule.cycle_epochs=3", "max_epochs=60", "patience=4"]
    result = train_result(compose(*QUICK, *overfit, *options), tmp_path / "run")
    assert result["time"]["epochs"] - result["objective"]["epoch"] - 1 == 6
