from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.tiny import QUICK
from support.training import train_result
from torch import nn

from recsys.config.validate import validate
from recsys.errors import ConfigError
from recsys.models.matrix_factorization import MatrixFactorization
from recsys.training.sparse_adam import SparseAdam


def train_table(
    table: nn.Embedding, optimizer: torch.optim.Optimizer, batches: list[list[int]]
) -> torch.Tensor:
    """Move the rows of each batch towards 1; return the weights."""
    for rows in batches:
        optimizer.zero_grad()
        (table(torch.tensor(rows)) - 1).square().sum().backward()
        optimizer.step()
    return table.weight.detach()


def make_table(sparse: bool) -> nn.Embedding:
    torch.manual_seed(0)
    return nn.Embedding(5, 3, sparse=sparse)


@given(st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=6), min_size=1, max_size=6))
def test_equals_torch_sparse_adam(batches: list[list[int]]) -> None:
    here, there = make_table(sparse=True), make_table(sparse=True)
    ours = train_table(here, SparseAdam(here.parameters(), lr=0.1), batches)
    expected = train_table(there, torch.optim.SparseAdam(list(there.parameters()), lr=0.1), batches)
    torch.testing.assert_close(ours, expected)


def test_equals_adam_if_every_batch_uses_all_rows() -> None:
    here, there = make_table(sparse=True), make_table(sparse=False)
    batches = [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0, 0], [0, 1, 2, 3, 4]]
    ours = train_table(here, SparseAdam(here.parameters(), lr=0.1), batches)
    torch.testing.assert_close(
        ours, train_table(there, torch.optim.Adam(there.parameters(), lr=0.1), batches)
    )


def test_unused_rows_are_unchanged() -> None:
    table = make_table(sparse=True)
    before = table.weight.detach().clone()
    after = train_table(table, SparseAdam(table.parameters()), [[1, 3], [3]])
    assert (after != before).any(1).tolist() == [False, True, False, True, False]


def test_dense_parameters_are_updated_by_adam() -> None:
    ours, expected = nn.Linear(3, 2), nn.Linear(3, 2)
    expected.load_state_dict(ours.state_dict())
    for layer, kind in ((ours, SparseAdam), (expected, torch.optim.Adam)):
        optimizer = kind(layer.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            layer(torch.ones(4, 3)).square().sum().backward()
            optimizer.step()
    torch.testing.assert_close(ours.weight, expected.weight)


def test_continues_from_a_saved_state() -> None:
    uninterrupted, resumed = make_table(sparse=True), make_table(sparse=True)
    expected = train_table(
        uninterrupted, SparseAdam(uninterrupted.parameters(), lr=0.1), [[0, 1], [1, 2], [2, 0]]
    )
    first = SparseAdam(resumed.parameters(), lr=0.1)
    train_table(resumed, first, [[0, 1]])
    second = SparseAdam(resumed.parameters(), lr=1.0)
    second.load_state_dict(first.state_dict())
    torch.testing.assert_close(train_table(resumed, second, [[1, 2], [2, 0]]), expected, rtol=0, atol=0)


@pytest.mark.parametrize("fused", [True, False])
def test_grad_scaler_unscales_and_skips(fused: bool) -> None:
    """Also fails when a torch upgrade changes what `GradScaler` hands to fused optimizers."""
    scaled, plain = (nn.ModuleList([make_table(sparse=True), nn.Linear(3, 1)]) for _ in range(2))
    plain.load_state_dict(scaled.state_dict())
    optimizers = [SparseAdam(modules.parameters(), lr=0.1, fused=fused) for modules in (scaled, plain)]
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    for rows, factor in (([0, 1, 1], 1.0), ([1, 2], torch.inf), ([2, 0], 1.0)):
        for modules, optimizer in zip((scaled, plain), optimizers, strict=True):
            table, layer = modules
            optimizer.zero_grad()
            loss = layer(table(torch.tensor(rows))).square().sum() * factor
            if modules is scaled:
                scaler.scale(loss).backward()
                scaler.step(optimizer)
                scaler.update()
            elif factor == 1.0:
                loss.backward()
                optimizer.step()
    for found, expected in zip(scaled.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(found, expected)


def test_training_uses_sparse_gradients(compose, tmp_path: Path, monkeypatch) -> None:
    seen = []
    forward = MatrixFactorization.forward
    monkeypatch.setattr(
        MatrixFactorization,
        "forward",
        lambda network, *rows: seen.append(network.user_embedding.sparse) or forward(network, *rows),
    )
    cfg = compose(*QUICK, "model=matrix-factorization", "optimizer=sparse-adam", "optimizer.lr=0.02")
    result = train_result(cfg, tmp_path)
    assert seen[0]
    assert result["metrics"]["test/rmse"] < result["baselines"]["global-mean"]["test/rmse"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["gradient_clip=1"], "gradient_clip=1: "),
        (["+optimizer.weight_decay=0.1"], "no argument 'weight_decay'"),
        (["hardware=ddp"], r"hardware\.strategy=ddp: GPUs \(NCCL\)"),
    ],
)
def test_unsupported_options_are_refused(compose, overrides: list[str], message: str, monkeypatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 8)
    with pytest.raises(ConfigError, match=message):
        validate(compose("optimizer=sparse-adam", *overrides))
