from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recsys.analysis.errors import calibration, errors_by, predict_test_set, predictions_by_rating
from recsys.runs.load import load_run
from recsys.runs.ratings import load_ratings


@pytest.mark.slow
def test_predictions_have_the_rmse_in_result_json(run_folder: Path) -> None:
    run = load_run(str(run_folder))
    ratings = load_ratings(run)
    predictions = predict_test_set(run.checkpoint.scorer, ratings, run.data.biases)
    for column, metrics in (
        ("predicted", run.result["metrics"]),
        ("baseline", run.result["baselines"]["user-item-bias"]),
    ):
        rmse = np.sqrt(((predictions[column] - predictions["true"]) ** 2).mean())
        assert rmse == pytest.approx(metrics["test/rmse"], rel=1e-6)
    train = ratings.split.train
    user = ratings.dataset.users[ratings.split.test[0]]
    assert predictions["activity"].iloc[0] == (ratings.dataset.users[train] == user).sum()


def test_calibrated_predictions_are_on_the_diagonal() -> None:
    random = np.random.default_rng(1)
    predicted = np.append(random.uniform(1, 5, 20_000), 5.0)
    predictions = pd.DataFrame({"predicted": predicted, "true": predicted + random.normal(0, 1, 20_001)})
    table = calibration(predictions, (1, 5))
    assert len(table) == 16
    assert table["count"].sum() == 20_001
    assert (table["true"] - table["predicted"]).abs().max() < 0.1
    assert table["error"].iloc[3] == pytest.approx(1.96 / np.sqrt(table["count"].iloc[3]), rel=0.1)


def test_errors_by_activity_in_bins_of_equal_size() -> None:
    counts = np.arange(600)
    predictions = pd.DataFrame({"true": 3.0, "predicted": np.where(counts < 100, 4.0, 3.5), "baseline": 5.0})
    table = errors_by(predictions.assign(activity=counts), "activity")
    assert len(table) == 6
    assert table["count"].between(99, 101).all()
    assert table["rmse"].iloc[[0, -1]].tolist() == pytest.approx([1.0, 0.5], abs=0.01)
    assert table["baseline"].tolist() == pytest.approx([2.0] * 6)
    assert (table["low"].to_numpy()[1:] > table["high"].to_numpy()[:-1]).all()
    assert len(errors_by(predictions.assign(activity=7), "activity")) == 1


def test_quantiles_of_predictions_by_rating() -> None:
    predictions = pd.DataFrame({"true": [1.0] * 101 + [4.5], "predicted": [*np.linspace(1, 2, 101), 4.0]})
    table = predictions_by_rating(predictions)
    assert table.loc[1.0].tolist() == pytest.approx([1.05, 1.25, 1.5, 1.75, 1.95, 101])
    assert table["count"].tolist() == [101, 1]
