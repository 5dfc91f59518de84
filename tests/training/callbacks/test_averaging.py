"""One set of weights out of those at the ends of cycles."""

import signal
from pathlib import Path

import pytest
import torch
from pytorch_lightning.callbacks import Callback
from support.tiny import QUICK

from recsys.cli.evaluate import evaluate
from recsys.errors import Stopped
from recsys.experiment import train as command
from recsys.experiment.train import train
from recsys.inference.recommender import Recommender
from recsys.runs.checkpoint import load_checkpoint
from recsys.training import build

CYCLES = [*QUICK, "schedule.cycle_epochs=2", "optimizer.lr=0.01", "max_epochs=8", "patience=100"]
SWA = [*CYCLES, "averaging=swa"]


def weights(folder: Path, name: str = "last") -> dict[str, torch.Tensor]:
    return load_checkpoint(folder / "checkpoints" / f"{name}.ckpt").network.state_dict()


def assert_close(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    assert [key for key in one if not torch.allclose(one[key], other[key], atol=1e-6)] == []


@pytest.mark.parametrize("first", [1, 3])
def test_is_the_mean_of_the_weights_at_the_ends(compose, first: int, tmp_path: Path) -> None:
    """What shorter runs without an average end with, averaged by hand."""
    kept = []
    for epochs in (2, 4, 6, 8)[first - 1 :]:
        train(compose(*CYCLES, f"max_epochs={epochs}"), tmp_path / str(epochs))
        kept.append(weights(tmp_path / str(epochs)))
    train(compose(*SWA, f"averaging.first_cycle={first}"), tmp_path / "swa")
    by_hand = {key: torch.stack([of[key] for of in kept]).mean(0) for key in kept[0]}
    assert_close(weights(tmp_path / "swa"), by_hand)


@pytest.mark.parametrize("options", [["max_epochs=3", "averaging.first_cycle=9"], ["schedule=one-cycle"]])
def test_the_average_of_a_single_end_is_that_end(compose, options: list[str], tmp_path: Path) -> None:
    words = [
        word for word in CYCLES if not word.startswith("schedule.") or "schedule=one-cycle" not in options
    ]
    plain = [word for word in options if not word.startswith("averaging.")]
    train(compose(*words, *plain), tmp_path / "plain")
    train(compose(*words, "averaging=swa", *options), tmp_path / "swa")
    assert_close(weights(tmp_path / "swa"), weights(tmp_path / "plain"))


def test_what_is_validated_is_what_is_saved(compose, tmp_path: Path) -> None:
    """Also at ends before the first that counts, and with a history, whose context is written anew."""
    for first in (1, 4):
        options = ["model=history", "model.head=linear", "data.items=120"]
        options += [f"averaging.first_cycle={first}"]
        result = train(compose(*SWA, *options), tmp_path / str(first))
        saved = torch.load(tmp_path / str(first) / "checkpoints" / "best.ckpt", weights_only=True)
        (score,) = (
            float(state["best_model_score"])
            for name, state in saved["callbacks"].items()
            if name.startswith("CycleEndCheckpoint")
        )
        assert result["objective"]["value"] == pytest.approx(score, rel=1e-5)
        own = evaluate(str(tmp_path / str(first)), part="val")[-1]
        assert own["val/rmse"] == pytest.approx(result["objective"]["value"], rel=1e-9)
    assert len(Recommender.load(tmp_path / "4").recommend(7, k=5)) == 5


class Interrupt(Callback):
    """Sends SIGTERM to its own process after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer, *_: object) -> None:
        if trainer.global_step == self.step:
            signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize(
    "step", [3, 13, 20]
)  # of 5 in an epoch: in the first cycle, in a later one, at an end
def test_a_run_that_goes_on_ends_as_if_it_had_not_been_stopped(
    compose, step: int, tmp_path: Path, monkeypatch
) -> None:
    whole = train(compose(*SWA), tmp_path / "whole")
    original = build.build_trainer

    def interrupted(cfg, folder: Path, *more: Callback, **options):
        return original(cfg, folder, *more, Interrupt(step), **options)

    folder = tmp_path / "cut"
    cfg = compose(*SWA)
    with monkeypatch.context() as patched:
        patched.setattr(build, "build_trainer", interrupted)
        with pytest.raises(Stopped):
            train(cfg, folder)
    again = train(cfg, folder, resume=True)
    assert again["metrics"] == whole["metrics"]
    assert again["objective"] == whole["objective"]
    for name in ("best", "last"):
        one, other = weights(folder, name), weights(tmp_path / "whole", name)
        assert [key for key in one if not torch.equal(one[key], other[key])] == []


def test_goes_with_one_network_that_rates(compose, tmp_path: Path) -> None:
    told = "snapshots=2 with averaging of weights: averaging=none"
    with pytest.raises(command.ConfigError, match=told):
        train(compose(*SWA, "snapshots=2"), tmp_path)
