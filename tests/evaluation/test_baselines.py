"""Baselines: damped biases solve their least-squares problem, and reach the error that the data allows."""

import numpy as np
import pytest

from recsys.data.biases import user_item_bias
from recsys.data.sources.synthetic import Synthetic
from recsys.data.splits import RandomSplit
from recsys.evaluation.baselines import baseline_metrics


def test_biases_minimise_the_damped_squared_error() -> None:
    """Alternating averages converge to the solution of the penalised problem."""
    dataset = Synthetic(ratings=400, users=20, items=30).load()
    rows = np.arange(400)
    n_users, n_items = len(dataset.user_ids), len(dataset.item_ids)
    design = np.zeros((400, n_users + n_items))
    design[rows, dataset.users] = 1
    design[rows, n_users + dataset.items] = 1
    mean = dataset.ratings.mean(dtype=float)
    penalty = np.diag([15.0] * n_users + [10.0] * n_items)
    biases = np.linalg.solve(design.T @ design + penalty, design.T @ (dataset.ratings - mean))
    predictions = user_item_bias(dataset, rows, rows, rounds=200)
    assert predictions == pytest.approx(mean + design @ biases, abs=1e-9)


def test_baselines_reach_the_error_of_the_ground_truth() -> None:
    dataset = Synthetic(ratings=30_000, users=300, items=200, noise=0.3).load()
    metrics = baseline_metrics(dataset, RandomSplit()(dataset))
    # standard deviations: biases 0.3 each, product 0.5, noise 0.3; see Synthetic
    assert metrics["global-mean"]["test/rmse"] == pytest.approx(0.72, abs=0.06)
    assert metrics["user-item-bias"]["test/rmse"] == pytest.approx((0.5**2 + 0.3**2) ** 0.5, abs=0.05)
