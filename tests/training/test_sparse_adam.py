from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.tiny import QUICK
from torch import nn

from recsys.config.validate import validate
from recsys.errors import ConfigError
from recsys.experiment.train import train
from recsys.models.matrix_factorization import MatrixFactorization
from recsys.training.sparse_adam import SparseAdam, is_sparse_adam


def descend(table: nn.Embedding, optimizer: torch.optim.Optimizer, batches: list[list[int]]) -> torch.Tensor:
    """Pull the rows of each batch towards 1, in proportion to their number."""
    for rows in batches:
        optimizer.zero_grad()
        (table(torch.tensor(rows)) - 1).square().sum().backward()
        optimizer.step()
    return table.weight.detach()


def tables(sparse: bool) -> nn.Embedding:
    torch.manual_seed(0)
    return nn.Embedding(5, 3, sparse=sparse)


@given(st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=6), min_size=1, max_size=6))
def test_equals_torchs_own_on_tables(batches: list[list[int]]) -> None:
    here, there = tables(sparse=True), tables(sparse=True)
    ours = descend(here, SparseAdam(here.parameters(), lr=0.1), batches)
    expected = descend(there, torch.optim.SparseAdam(list(there.parameters()), lr=0.1), batches)
    torch.testing.assert_close(ours, expected)


def test_equals_adam_where_every_row_is_read() -> None:
    here, there = tables(sparse=True), tables(sparse=False)
    batches = [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0, 0], [0, 1, 2, 3, 4]]
    ours = descend(here, SparseAdam(here.parameters(), lr=0.1), batches)
    torch.testing.assert_close(ours, descend(there, torch.optim.Adam(there.parameters(), lr=0.1), batches))


def test_rows_that_are_not_read_stay_where_they_are() -> None:
    table = tables(sparse=True)
    before = table.weight.detach().clone()
    after = descend(table, SparseAdam(table.parameters()), [[1, 3], [3]])
    assert (after != before).any(1).tolist() == [False, True, False, True, False]


def test_dense_parameters_get_adam() -> None:
    ours, expected = nn.Linear(3, 2), nn.Linear(3, 2)
    expected.load_state_dict(ours.state_dict())
    for layer, kind in ((ours, SparseAdam), (expected, torch.optim.Adam)):
        optimizer = kind(layer.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            layer(torch.ones(4, 3)).square().sum().backward()
            optimizer.step()
    torch.testing.assert_close(ours.weight, expected.weight)


def test_goes_on_from_its_saved_state() -> None:
    through, stopped = tables(sparse=True), tables(sparse=True)
    expected = descend(through, SparseAdam(through.parameters(), lr=0.1), [[0, 1], [1, 2], [2, 0]])
    first = SparseAdam(stopped.parameters(), lr=0.1)
    descend(stopped, first, [[0, 1]])
    second = SparseAdam(stopped.parameters(), lr=1.0)
    second.load_state_dict(first.state_dict())
    torch.testing.assert_close(descend(stopped, second, [[1, 2], [2, 0]]), expected, rtol=0, atol=0)


def of_a_function(params) -> torch.optim.Optimizer:
    return torch.optim.Adam(params)


def test_a_target_may_be_a_function() -> None:
    assert is_sparse_adam("recsys.training.sparse_adam.SparseAdam")
    assert not is_sparse_adam("torch.optim.SparseAdam")
    assert not is_sparse_adam("test_sparse_adam.of_a_function")


def test_a_run_updates_tables_by_rows(compose, tmp_path: Path, monkeypatch) -> None:
    seen = []
    forward = MatrixFactorization.forward
    monkeypatch.setattr(
        MatrixFactorization,
        "forward",
        lambda network, *rows: seen.append(network.user_embedding.sparse) or forward(network, *rows),
    )
    cfg = compose(*QUICK, "model=matrix-factorization", "optimizer=sparse-adam", "optimizer.lr=0.02")
    result = train(cfg, tmp_path)
    assert seen[0]
    assert result["metrics"]["test/rmse"] < result["baselines"]["global-mean"]["test/rmse"]


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["gradient_clip=1"], "gradient_clip=1 with optimizer=sparse-adam"),
        (["+optimizer.weight_decay=0.1"], "takes no 'weight_decay'"),
        (["hardware=ddp"], r"GPUs \(NCCL\) cannot add up"),
    ],
)
def test_what_rows_alone_cannot_do_is_refused(compose, overrides: list[str], told: str, monkeypatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 8)
    with pytest.raises(ConfigError, match=told):
        validate(compose("optimizer=sparse-adam", *overrides))
