"""RMSE and MAE, pooled over all ratings of a subset."""

import numpy as np
import pytest
import torch
from sklearn.metrics import mean_absolute_error, root_mean_squared_error

from recsys.data.batches import Batch, Batches
from recsys.evaluation.objective import VAL_RMSE, Objective, to_minimise
from recsys.evaluation.rating_metrics import RatingErrors, prefixed, rating_metrics
from recsys.models.bias import Bias


def errors_of(predicted: torch.Tensor, true: torch.Tensor) -> dict[str, float]:
    errors = RatingErrors()
    for start in range(0, len(true), 1_000_000):
        errors.update(predicted[start : start + 1_000_000], true[start : start + 1_000_000])
    return errors.compute()


def test_metrics_equal_scikit_learn() -> None:
    random = np.random.default_rng(0)
    predicted, true = random.uniform(1, 5, 1000).astype("f4"), random.integers(1, 6, 1000).astype("f4")
    metrics = errors_of(torch.from_numpy(predicted), torch.from_numpy(true))
    assert metrics["rmse"] == pytest.approx(root_mean_squared_error(true, predicted), rel=1e-6)
    assert metrics["mae"] == pytest.approx(mean_absolute_error(true, predicted), rel=1e-6)


def test_sums_do_not_lose_small_errors() -> None:
    """In float32, a sum of 20 million squares of 0.1 stops growing long before its end."""
    n = 20_000_000
    metrics = errors_of(torch.tensor(0.1).expand(n), torch.tensor(0.0).expand(n))
    assert metrics["rmse"] == pytest.approx(0.1, rel=1e-7)


def test_no_ratings_are_an_error() -> None:
    errors = RatingErrors()
    errors.update(torch.empty(0), torch.empty(0))
    with pytest.raises(ValueError, match="no ratings"):
        errors.compute()


def test_metrics_are_pooled_over_ratings_and_predictions_clipped() -> None:
    scorer = Bias(3, 2, [1, 5], mean=9.0).scorer()  # predicts 9, which is clipped to 5
    columns = Batch(torch.tensor([0, 1, 2]), torch.tensor([0, 1, 0]), torch.tensor([5.0, 4.0, 2.0]))
    metrics = rating_metrics(scorer, Batches(columns, 2), "test")
    assert metrics == pytest.approx({"test/rmse": ((0 + 1 + 9) / 3) ** 0.5, "test/mae": 4 / 3})


def test_names_of_metrics_and_objectives() -> None:
    assert prefixed("val", {"rmse": 0.9}) == {"val/rmse": 0.9}
    assert to_minimise({**VAL_RMSE._asdict(), "value": 0.9}) == 0.9
    assert to_minimise({**Objective("val/ndcg@10", "max")._asdict(), "value": 0.3}) == -0.3
