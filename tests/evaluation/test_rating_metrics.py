import numpy as np
import pytest
import torch
from sklearn.metrics import mean_absolute_error, root_mean_squared_error

from recsys.data.batches import Batch, Batches
from recsys.evaluation.rating_metrics import RatingErrors, measure
from recsys.models.bias import Bias
from recsys.models.embedding_net import EmbeddingNet


def test_equals_scikit_learn() -> None:
    random = np.random.default_rng(0)
    predicted, true = random.uniform(1, 5, 1000).astype("f4"), random.integers(1, 6, 1000).astype("f4")
    metrics = RatingErrors.of(torch.from_numpy(predicted), torch.from_numpy(true)).metrics("test")
    assert metrics["test/rmse"] == pytest.approx(root_mean_squared_error(true, predicted), rel=1e-6)
    assert metrics["test/mae"] == pytest.approx(mean_absolute_error(true, predicted), rel=1e-6)


def test_many_small_errors_are_not_lost() -> None:
    """In float32 a sum of 20 million squares of 0.1 stops growing long before its end."""
    n = 20_000_000
    metrics = RatingErrors.of(torch.full((n,), 0.1), torch.zeros(n)).metrics("val")
    assert metrics["val/rmse"] == pytest.approx(0.1, rel=1e-7)


def test_refuses_to_measure_nothing() -> None:
    with pytest.raises(ValueError, match="no test pairs"):
        RatingErrors().metrics("test")


def test_sums_travel_between_processes() -> None:
    errors = RatingErrors(2.5, 1.5, 7)
    assert RatingErrors.from_tensor(errors.to_tensor()) == errors


def test_pools_pairs_not_batches_and_clips() -> None:
    network = Bias(3, 2, [1, 5], mean=9.0)  # predicts 9, which is clipped to 5
    columns = Batch(torch.tensor([0, 1, 2]), torch.tensor([0, 1, 0]), torch.tensor([5.0, 4.0, 2.0]))
    metrics = measure(network, Batches(columns, 2)).metrics("test")
    assert metrics == pytest.approx({"test/rmse": ((0 + 1 + 9) / 3) ** 0.5, "test/mae": 4 / 3})


def test_measures_with_dropout_off_and_leaves_the_mode_alone() -> None:
    network = EmbeddingNet(3, 2, [1, 5], 3.0, dropouts=0.9, embedding_dropout=0.9).train()
    columns = Batch(torch.tensor([0, 1, 2]), torch.tensor([0, 1, 0]), torch.tensor([5.0, 4.0, 2.0]))
    first, second = (measure(network, Batches(columns, 2)) for _ in range(2))
    assert first == second
    assert network.training
