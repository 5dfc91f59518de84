"""SIGTERM and SIGUSR1 before and after training, when the callback has not yet, or no longer, its handlers."""

import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from support.tiny import QUICK

import recsys.experiment.fit
from recsys.errors import Stopped
from recsys.experiment.train import train
from recsys.runs.folder import checkpoint_in
from recsys.training.callbacks.cycle_end import LastCheckpoint
from recsys.training.callbacks.signals import stopped_by_signals

SIGNALS = [signal.SIGTERM, signal.SIGUSR1]


@pytest.fixture(autouse=True)
def default_handlers() -> Iterator[None]:
    """Ray, which other tests start, handles SIGTERM."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize(
    ("function", "whence"), [("build_data", ""), ("describe_outcome", " from the last epoch")]
)
def test_a_signal_outside_of_training_says_how_to_resume(
    number: int,
    function: str,
    whence: str,
    compose,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = getattr(recsys.experiment.fit, function)

    def stop(*arguments: Any) -> Any:
        signal.raise_signal(number)
        return original(*arguments)

    cfg, folder = compose(*QUICK), tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(recsys.experiment.fit, function, stop)
        with pytest.raises(Stopped) as error:
            train(cfg, folder)
    name = signal.Signals(number).name
    assert str(error.value) == f"stopped by {name}; to resume{whence}: recsys-train run={folder} resume=true"
    assert error.value.number == number
    assert not (folder / "failed.json").exists()
    assert (
        train(cfg, folder, resume=True).result["metrics"] == train(cfg, tmp_path / "whole").result["metrics"]
    )


def test_handlers_of_the_caller_are_kept(tmp_path: Path) -> None:
    received = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: received.append(number))
    own = signal.getsignal(signal.SIGUSR1)
    try:
        with pytest.raises(Stopped, match="SIGTERM"), stopped_by_signals(tmp_path):
            list(map(signal.raise_signal, [signal.SIGUSR1, signal.SIGTERM]))
        assert received == [signal.SIGUSR1]
        assert signal.getsignal(signal.SIGUSR1) is own
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_an_error_that_a_signal_causes_does_not_hide_it(tmp_path: Path) -> None:
    """An exception in the middle of an operation of a library can make its clean-up fail."""

    def interrupted() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            raise AttributeError("'NoneType' object has no attribute '_invalidate_flags_cache'")

    with pytest.raises(Stopped, match="stopped by SIGTERM; to resume"), stopped_by_signals(tmp_path):
        interrupted()
    with pytest.raises(AttributeError), stopped_by_signals(tmp_path):
        raise AttributeError
    with pytest.raises(Stopped), stopped_by_signals(tmp_path), suppress(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)


class Send(pl.Callback):
    """Sends SIGTERM in a hook of the sixth epoch."""

    def __init__(self, hook: str) -> None:
        setattr(self, hook, self.send)

    def send(self, trainer: pl.Trainer, *_: object) -> None:
        if trainer.current_epoch == 5:
            signal.raise_signal(signal.SIGTERM)


@pytest.mark.slow
@pytest.mark.parametrize(("hook", "epochs"), [("on_train_epoch_end", 6.0), ("on_train_epoch_start", 5.2)])
def test_a_signal_between_epochs_loses_no_epoch_whose_save_was_skipped(
    hook: str, epochs: float, compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LastCheckpoint, "SHARE", 1e-9)  # after the first save, the next one is due in years
    cfg = compose(*QUICK, "max_epochs=8", "schedule=constant", "patience=8")
    with pytest.raises(Stopped) as error:
        train(cfg, tmp_path / "run", callbacks=[Send(hook)])
    steps = -(-2400 // 500)
    step = round(epochs * steps)
    assert f"stopped by SIGTERM after step {step}; to resume: " in str(error.value)
    saved = torch.load(checkpoint_in(tmp_path / "run", "last"), weights_only=True)
    assert saved["global_step"] == step
    resumed = train(cfg, tmp_path / "run", resume=True).result["metrics"]
    assert resumed == train(cfg, tmp_path / "whole").result["metrics"]
