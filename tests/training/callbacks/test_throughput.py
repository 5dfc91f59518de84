"""Training speed counts full epochs after the warm-up, and continues when a run is resumed."""

from pathlib import Path
from typing import ClassVar

import pytorch_lightning as pl
from support.training import synthetic_data

from recsys.models.bias import Bias
from recsys.training.callbacks.throughput import WARM_UP_STEPS, Throughput
from recsys.training.module import RatingModule


def measured(
    folder: Path, throughput: Throughput, max_epochs: int, *callbacks: pl.Callback, batch_size: int = 100
) -> Throughput:
    """Train biases in epochs of 800 ratings."""
    data = synthetic_data(batch_size=batch_size)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=max_epochs,
        callbacks=[throughput, *callbacks],
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(RatingModule(Bias.from_data(data)), data)
    return throughput


def test_steps_after_the_warm_up_are_counted(tmp_path: Path) -> None:
    throughput = measured(tmp_path, Throughput(), 4)
    assert throughput.ratings == (4 * 8 - WARM_UP_STEPS) * 100
    assert throughput.ratings_per_second == throughput.ratings / throughput.seconds


def test_the_first_batch_of_another_length_is_not_counted(tmp_path: Path) -> None:
    """Epochs of 11 steps: ten of 75 ratings, then 50. A compiled network is compiled again for the last one."""
    throughput = measured(tmp_path, Throughput(), 3, batch_size=75)
    assert throughput.ratings == 2 * 800


def test_a_run_that_is_too_short_has_no_speed(tmp_path: Path) -> None:
    assert measured(tmp_path, Throughput(), 1).ratings_per_second == 0


def test_a_state_saved_within_an_epoch_has_the_time_of_its_ratings(tmp_path: Path) -> None:
    class StateAtStep(pl.Callback):
        states: ClassVar[dict[int, dict]] = {}

        def on_train_batch_end(self, trainer: pl.Trainer, *args: object) -> None:
            self.states[trainer.global_step] = throughput.state_dict()

    throughput = Throughput()
    measured(tmp_path, throughput, 2, StateAtStep())
    states = StateAtStep.states
    assert states[14]["ratings"] == 400
    assert 0 < states[12]["seconds"] < states[14]["seconds"] < throughput.seconds


def test_a_resumed_run_continues_its_counts(tmp_path: Path) -> None:
    before = Throughput()
    before.load_state_dict({"ratings": 500, "seconds": 2.0, "elapsed": 1000.0})
    assert before.state_dict()["elapsed"] >= 1000
    after = measured(tmp_path, before, 2)
    assert after.ratings == 500 + (2 * 8 - WARM_UP_STEPS) * 100
    assert after.seconds > 2
