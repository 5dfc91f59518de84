import copy

import pytest
import torch
from torch import nn

from recsys.models.ops.dropout import random_bytes
from recsys.models.ops.mlp import MAX_CHUNK_ROWS, MLP


def training_step(mlp: MLP, rows: int, plain: bool = False) -> dict[str, torch.Tensor]:
    """Return the outputs and all gradients of a training step; plain: computed by `nn.Sequential`.

    The input and the dropout masks are those of fixed seeds.
    """
    mlp = copy.deepcopy(mlp)
    torch.manual_seed(2)
    x = torch.randn(rows, 6, dtype=mlp[1].weight.dtype, requires_grad=True)
    torch.manual_seed(0)
    outputs = nn.Sequential.forward(mlp, x) if plain else mlp(x)
    (outputs.float() * torch.arange(1.0, rows + 1)[:, None] / rows).square().mean().backward()
    return {"outputs": outputs, "x": x.grad, **{name: p.grad for name, p in mlp.named_parameters()}}


@pytest.mark.parametrize("rows", [1, 7, MAX_CHUNK_ROWS, MAX_CHUNK_ROWS + 1, 3 * MAX_CHUNK_ROWS - 1])
@pytest.mark.parametrize(
    ("hidden", "dropouts", "input_dropout"),
    [([8, 12, 4], [0.5, 0.25], 0.3), (5, 0.0, 0.0), ([], 0.5, 0.5), ([3, 3], [0.0, 0.6], 0.0)],
)
def test_outputs_and_gradients_equal_sequential(rows, hidden, dropouts, input_dropout) -> None:
    torch.manual_seed(1)
    mlp = MLP(6, hidden, dropouts, input_dropout).double()
    expected = training_step(mlp, rows, plain=True)
    found = training_step(mlp, rows)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, msg=name)


def test_bfloat16_is_as_close_to_float32_as_sequential() -> None:
    torch.manual_seed(1)
    mlp = MLP(6, [32, 16], 0.25, 0.1)

    def step(dtype: torch.dtype, plain: bool) -> dict[str, torch.Tensor]:
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            return training_step(mlp, MAX_CHUNK_ROWS + 1, plain)

    exact = step(torch.float32, plain=True)
    found, plain = (step(torch.bfloat16, is_plain) for is_plain in (False, True))
    for name, value in exact.items():
        assert found[name].dtype == plain[name].dtype
        error, plain_error = ((result[name] - value).norm() / value.norm() for result in (found, plain))
        assert error < max(2 * plain_error, torch.finfo(torch.bfloat16).eps), name


def test_order_of_operations() -> None:
    """Published results depend on it: scales in the weights, masks drawn layer by layer, chunks of rows."""
    torch.manual_seed(1)
    mlp = MLP(6, [8], 0.5, 0.25)
    x = torch.randn(MAX_CHUNK_ROWS + 200, 6)
    torch.manual_seed(0)
    found = mlp(x)
    torch.manual_seed(0)
    masks = [random_bytes(torch.Size((len(x), 6))) >= 64, random_bytes(torch.Size((len(x), 8))) >= 128]
    expected = []
    for rows in torch.arange(len(x)).chunk(2):
        hidden = torch.relu(
            nn.functional.linear(x[rows] * masks[0][rows], mlp[1].weight * (256 / 192), mlp[1].bias)
        )
        expected.append(nn.functional.linear(hidden * masks[1][rows], mlp[4].weight * 2, mlp[4].bias))
    assert torch.equal(found, torch.cat(expected))


def test_last_dropout_rate_applies_to_further_layers() -> None:
    mlp = MLP(4, [3, 3, 3], [0.5, 0.25], 0.1)
    assert [module.p for module in mlp if hasattr(module, "p")] == [0.1, 0.5, 0.25, 0.25]


def test_evaluation_has_no_dropout() -> None:
    mlp = MLP(6, [4], 0.5, 0.5).eval()
    x = torch.randn(5, 6)
    expected = torch.relu(x @ mlp[1].weight.T + mlp[1].bias) @ mlp[4].weight.T + mlp[4].bias
    torch.testing.assert_close(mlp(x), expected)


def test_empty_batch() -> None:
    mlp = MLP(6, [4], 0.5, 0.5)
    x = torch.empty(0, 6, requires_grad=True)
    outputs = mlp(x)
    outputs.sum().backward()
    assert outputs.shape == (0, 1)
    assert x.grad.shape == (0, 6)
    assert mlp[1].weight.grad.count_nonzero() == 0
