"""A loss, a schedule, a split and a network of one's own work in `train`, whatever their names and arguments.

Nothing in recsys knows the classes of this file: they say themselves how they behave.
"""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from support.networks import OwnNetwork
from support.tiny import PLAIN, SHORT, SMALL
from support.training import interrupted, train_result
from torch import Generator, Tensor
from torch.nn import functional
from torch.optim import Optimizer, lr_scheduler

from recsys.config.validate import validate
from recsys.data.batches import Batch
from recsys.data.dataset import Dataset
from recsys.data.splits import Split, SplitMethod
from recsys.errors import ConfigError, RunError
from recsys.evaluation.objective import Objective
from recsys.evaluation.ranking_metrics import RankingTask
from recsys.evaluation.rating_metrics import rating_metrics
from recsys.models.base import RatingNetwork
from recsys.runs.load import load_run
from recsys.runs.ratings import load_ratings
from recsys.training.build import build_data
from recsys.training.losses import Loss, Pointwise
from recsys.training.schedules import Schedule
from recsys.types import PositiveFloat, PositiveInt


class Thermostat(Loss):
    """Ranks: the hinge of a random item's score over that of the item of the batch."""

    predicts_ratings = False

    def __init__(self, tightness: PositiveFloat = 1.0, l2: dict | None = None) -> None:
        super().__init__(l2)
        self.tightness = tightness

    def __call__(self, network: RatingNetwork, batch: Batch, generator: Generator | None = None) -> Tensor:
        other = torch.randint(network.n_items, batch.items.shape, generator=generator)
        difference = network(batch.users, other) - network(batch.users, batch.items)
        return functional.relu(self.tightness + difference).mean()

    def objective(self, k: int) -> Objective:
        return Objective(f"val/mrr@{k}", "max")


class NegativesAreErrors(Pointwise):
    """Predicts ratings, although its name speaks of negatives; its weights are selected by the absolute error."""

    def objective(self, k: int) -> Objective:
        return Objective("val/mae", "min")


class Seesaw(Schedule):
    """The learning rate is low in odd epochs, where cycles end, and high in even ones."""

    def __init__(self, low_share: PositiveFloat) -> None:
        self.low_share = low_share

    def __call__(
        self, optimizer: Optimizer, steps_per_epoch: int, max_epochs: int
    ) -> lr_scheduler.LRScheduler:
        return lr_scheduler.LambdaLR(
            optimizer, lambda step: 1.0 if step // steps_per_epoch % 2 else self.low_share
        )

    def cycle_ends(self, max_epochs: int) -> set[int]:
        return set(range(1, max_epochs + 1, 2)) | {max_epochs}

    def patience_in_cycles(self, epochs: int) -> int:
        return math.ceil(epochs / 2)


class Momentum(Schedule):
    """One cycle of the learning rate, and the opposite one of the momentum."""

    def __call__(
        self, optimizer: Optimizer, steps_per_epoch: int, max_epochs: int
    ) -> lr_scheduler.LRScheduler:
        highest = optimizer.param_groups[0]["lr"]
        return lr_scheduler.OneCycleLR(optimizer, highest, total_steps=steps_per_epoch * max_epochs)


class EveryNth(SplitMethod):
    """Tests on every nth rating, and validates on the one after it."""

    def __init__(self, nth: PositiveInt) -> None:
        self.nth = nth

    def __call__(self, dataset: Dataset) -> Split:
        rows = np.arange(len(dataset))
        subset = rows % self.nth
        return Split(train=rows[subset > 1], val=rows[subset == 1], test=rows[subset == 0])

    def check(self, data_name: str | None) -> Iterator[str]:
        if self.nth < 3:
            yield f"split.nth={self.nth}: must be at least 3"


class Recorder(pl.Callback):
    """Records the validation metrics and the learning rate at the end of each epoch."""

    def __init__(self) -> None:
        self.metrics: list[dict[str, float]] = []
        self.rates: list[float] = []

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.metrics.append({name: float(value) for name, value in trainer.callback_metrics.items()})
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])


SCHEDULE = ["schedule=constant", f"schedule._target_={__name__}.Seesaw", "+schedule.low_share=0.125"]
SPLIT = ["split=leave-last", f"split._target_={__name__}.EveryNth", "+split.nth=7"]
RANKING = ["loss=pointwise", f"loss._target_={__name__}.Thermostat", "+loss.tightness=0.5"]
RATING = ["loss=pointwise", f"loss._target_={__name__}.NegativesAreErrors"]
RUN = [*SMALL, *PLAIN, *SHORT, "max_epochs=9", "batch_size=250", "optimizer.lr=0.03", *SCHEDULE, *SPLIT]


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        ["schedule=constant", f"schedule._target_={__name__}.Momentum"],
        ["schedule=constant", "~optimizer", "+optimizer={_target_:torch.optim.Adafactor,lr:0.01}"],
    ],
    ids=["momentum", "Adafactor"],
)
def test_schedules_and_optimizers_whose_state_differs_from_a_new_one_are_resumed(
    overrides: list[str], compose, tmp_path: Path
) -> None:
    """OneCycleLR changes the betas of the optimizer; Adafactor keeps other tensors for matrices than for vectors."""
    cfg = compose(*SMALL, *PLAIN, *SHORT, "max_epochs=3", *overrides)
    interrupted(cfg, tmp_path / "run", step=3)
    resumed = train_result(cfg, tmp_path / "run", resume=True)
    whole = train_result(cfg, tmp_path / "whole")
    assert resumed["metrics"] == whole["metrics"]


@pytest.mark.slow
def test_a_ranking_loss_of_ones_own(compose, tmp_path: Path) -> None:
    recorder = Recorder()
    cfg = compose(*RUN, *RANKING, "ranking.k=5", "model=matrix-factorization", "patience=100")
    result = train_result(cfg, tmp_path / "run", callbacks=[recorder])
    curve = [metrics["val/mrr@5"] for metrics in recorder.metrics]
    assert len(curve) == 9
    best = max((1, 3, 5, 7, 9), key=lambda epoch: curve[epoch - 1])
    objective = result["objective"]
    assert (objective["name"], objective["mode"], objective["epoch"] + 1) == ("val/mrr@5", "max", best)
    assert objective["value"] == pytest.approx(curve[best - 1], rel=1e-6)
    assert not [name for name in result["metrics"] if "rmse" in name]
    loaded = load_run(tmp_path / "run")
    ratings = load_ratings(loaded, trust=True)
    task = RankingTask.of(ratings.dataset, ratings.split, "test", 5)
    measured = task.measure(loaded.checkpoint.scorer)
    assert {name: result["metrics"][name] for name in measured} == pytest.approx(measured, rel=1e-9)


@pytest.mark.slow
def test_a_rating_loss_of_ones_own(compose, tmp_path: Path) -> None:
    recorder = Recorder()
    result = train_result(compose(*RUN, *RATING, "patience=100"), tmp_path / "run", callbacks=[recorder])
    best = min((1, 3, 5, 7, 9), key=lambda epoch: recorder.metrics[epoch - 1]["val/mae"])
    objective = result["objective"]
    assert (objective["name"], objective["mode"], objective["epoch"] + 1) == ("val/mae", "min", best)
    assert objective["value"] == result["metrics"]["val/mae"]
    loaded = load_run(tmp_path / "run")
    measured = rating_metrics(
        loaded.checkpoint.scorer, load_ratings(loaded, trust=True).batches("test"), "test"
    )
    assert {name: result["metrics"][name] for name in measured} == pytest.approx(measured, rel=1e-9)


@pytest.mark.slow
def test_a_schedule_of_ones_own_decides_rates_snapshots_and_patience(compose, tmp_path: Path) -> None:
    recorder = Recorder()
    cfg = compose(*RUN, "max_epochs=5", "snapshots=3", "patience=100")
    train_result(cfg, tmp_path / "run", callbacks=[recorder])
    high, low = 0.03, 0.03 * 0.125
    assert recorder.rates == pytest.approx([high, low, high, low, high])  # for the next epoch
    assert len(load_run(tmp_path / "run", "last").checkpoint.scorer.members) == 3  # of epochs 1, 3 and 5
    overfit = ["model.dropouts=0", "model.embedding_dropout=0", "batch_size=50", "optimizer.lr=0.3"]
    stopped = train_result(compose(*RUN, *overfit, "max_epochs=40", "patience=3"), tmp_path / "stopped")
    assert stopped["time"]["epochs"] - (stopped["objective"]["epoch"] + 1) == 4  # two cycles


@pytest.mark.slow
def test_a_split_of_ones_own_is_described_and_checked(compose, tmp_path: Path) -> None:
    cfg = compose(*RUN)
    result = train_result(cfg, tmp_path / "run")
    data = build_data(cfg)
    data.setup()
    assert data.split.test.tolist() == list(range(0, 3000, 7))
    assert result["data"]["split"] == f"EveryNth(nth=7) {data.split.fingerprint}"
    assert [result["data"][subset] for subset in ("train", "val", "test")] == [2142, 429, 429]
    with pytest.raises(ConfigError, match=r"split\.nth=2: must be at least 3"):
        validate(compose(*RUN, "split.nth=2"))


@pytest.mark.slow
def test_a_network_of_ones_own(compose, tmp_path: Path) -> None:
    own = ["model=custom", f"model._target_={OwnNetwork.__module__}.OwnNetwork"]
    result = train_result(compose(*RUN, *own), tmp_path / "run")
    assert result["model"]["name"] == "own-network"
    assert result["metrics"]["test/rmse"] < result["baselines"]["global-mean"]["test/rmse"]
    with pytest.raises(RunError, match=r"OwnNetwork', which is not part of recsys.*trust=True"):
        load_run(tmp_path / "run")
    assert load_run(tmp_path / "run", trust=True).checkpoint.scorer.user_table().shape == (60, 4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([*RANKING, "loss.tightness=0"], r"loss\.tightness=0: "),
        ([*RANKING, "ranking.k=0"], r"ranking\.k=0: .*Thermostat"),
        ([*RANKING, "averaging=swa"], r"averaging: .*Thermostat"),
        (["schedule.low_share=0"], r"schedule\.low_share=0: "),
        (["split.nth=x"], r"split\.nth=x: "),
    ],
)
def test_values_of_ones_own_objects_are_validated(compose, overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validate(compose(*RUN, *overrides))
