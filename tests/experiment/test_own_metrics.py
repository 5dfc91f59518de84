"""Added metrics and the objective in a run: curves, result.json, printed table, evaluation, average and refit."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from support.tiny import PLAIN, QUICK, SHORT, SMALL
from support.training import best_score, train_result

from recsys.evaluation import RankedLists, RankingMetric
from recsys.evaluation.summary import print_summary
from recsys.experiment.average import average
from recsys.experiment.evaluate import evaluate
from recsys.experiment.train import train
from recsys.runs.checkpoint import load_checkpoint
from recsys.runs.folder import checkpoint_in
from recsys.sweeps.job import value_in
from recsys.training.build import build_data

MAPE = "+metrics.mape._target_=torchmetrics.MeanAbsolutePercentageError"
MAP = "+metrics.map._target_=torchmetrics.retrieval.RetrievalMAP"
JOINT = [*SMALL, "data.step=1", *SHORT, "model.embedding_dim=4", "model.hidden=[4]"]


class FirstIsHit(RankingMetric):
    """The share of users whose first recommendation is relevant."""

    higher_is_better = True

    def __call__(self, lists: RankedLists) -> float:
        return float(lists.hits[:, 0].mean())


class Curves(pl.Callback):
    """Records the validation metrics of each epoch."""

    def __init__(self) -> None:
        self.epochs: list[dict[str, float]] = []

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.epochs.append({name: float(value) for name, value in trainer.callback_metrics.items()})


def test_added_metrics_are_everywhere(compose, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cfg = compose(*QUICK, MAPE, MAP, "logger=csv")
    result = train_result(cfg, tmp_path / "run")
    assert result["added_metrics"] == ["val/mape", "test/mape", "val/map@10", "test/map@10"]
    data = build_data(cfg)
    data.setup()
    rows, scorer = data.split.test, load_checkpoint(checkpoint_in(tmp_path / "run")).scorer
    users, items = (torch.from_numpy(index[rows]) for index in (data.dataset.users, data.dataset.items))
    predicted = scorer(users, items).clamp(1, 5).double().detach().numpy()
    truth = data.dataset.ratings[rows]
    expected = np.mean(np.abs(predicted - truth) / np.abs(truth))
    assert result["metrics"]["test/mape"] == pytest.approx(expected, rel=1e-6)
    assert "test/mape" in result["baselines"]["user-item-bias"]
    assert "test/map@10" in result["baselines"]["popularity"]
    logged = list(csv.DictReader((tmp_path / "run" / "metrics.csv").read_text().splitlines()))
    for name in ("val/mape", "val/map@10"):
        assert len([row for row in logged if row[name]]) == 2
    print_summary(result, tmp_path / "run")
    assert "mape" in capsys.readouterr().out
    rows = evaluate(str(tmp_path / "run"), "test")
    assert rows[-1]["test/mape"] == pytest.approx(result["metrics"]["test/mape"], rel=1e-6)
    assert rows[-1]["test/map@10"] == pytest.approx(result["metrics"]["test/map@10"], rel=1e-6)
    assert evaluate(str(tmp_path / "run"), "val", k=3)[-1].keys() >= {"val/map@3", "val/mape"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "name", "better"),
    [
        (["objective=val/mae"], "val/mae", min),
        ([MAPE, "objective=val/mape"], "val/mape", min),
        (["objective=val/ndcg@5"], "val/ndcg@5", max),
        (["objective=val/mrr@10", "loss=bpr"], "val/mrr@10", max),
        ([f"+metrics.first._target_={__name__}.FirstIsHit", "objective=val/first@10"], "val/first@10", max),
    ],
)
def test_the_objective_selects_the_weights(
    compose, options: list[str], name: str, better: Any, tmp_path: Path
) -> None:
    """The network overfits, so that the objective is not always best in the last epoch."""
    overfit = ["model.dropouts=0", "model.embedding_dropout=0", "batch_size=100", "optimizer.lr=0.03"]
    cfg = compose(
        *SMALL, *PLAIN, *SHORT, *overfit, "max_epochs=8", "patience=2", "schedule=constant", *options
    )
    curves = Curves()
    result = train_result(cfg, tmp_path / "run", callbacks=[curves])
    values = [epoch[name] for epoch in curves.epochs]
    objective = result["objective"]
    assert (objective["name"], objective["mode"]) == (name, "min" if better is min else "max")
    assert objective["epoch"] == values.index(better(values))
    assert objective["value"] == pytest.approx(better(values), rel=1e-6)
    assert best_score(tmp_path / "run") == pytest.approx(better(values), rel=1e-6)
    assert value_in(tmp_path / "run") == (1 if better is min else -1) * objective["value"]
    assert len(values) == min(8, objective["epoch"] + 1 + 2), "early stopping follows the objective"


@pytest.mark.slow
def test_a_ranking_objective_of_the_joint_loss_is_that_of_the_snapshots(compose, tmp_path: Path) -> None:
    """Other ranking curves of this loss are those of the current network alone."""
    options = ["snapshots=3", "schedule=constant", "max_epochs=4", "patience=9", "objective=val/ndcg@10"]
    curves = Curves()
    result = train_result(compose(*JOINT, *options), tmp_path / "run", callbacks=[curves])
    values = [epoch["val/ndcg@10"] for epoch in curves.epochs]
    assert result["objective"]["value"] == pytest.approx(max(values), rel=1e-6)


@pytest.mark.slow
def test_refit_finds_the_number_of_epochs_by_the_objective(compose, tmp_path: Path) -> None:
    options = [*QUICK, "max_epochs=4", "schedule=constant", MAPE, "objective=val/mape", "refit=true"]
    result = train_result(compose(*options), tmp_path / "run")
    selection = json.loads((tmp_path / "run" / "first-training" / "selection.json").read_text())
    assert result["objective"]["name"] == "val/mape"
    assert result["metrics"]["val/mape"] == selection["metrics"]["val/mape"]
    assert "test/mape" in result["metrics"]


@pytest.mark.slow
def test_an_average_has_the_added_metrics_of_its_members(compose, tmp_path: Path) -> None:
    for seed in (1, 2):
        train(compose(*QUICK, MAPE, "objective=val/mape", f"seed={seed}"), tmp_path / str(seed))
    result = average([tmp_path / "1", tmp_path / "2"], tmp_path / "average").result
    assert result["objective"]["name"] == "val/mape"
    assert result["added_metrics"] == ["val/mape", "test/mape"]
    assert result["metrics"]["test/mape"] > 0
