import platform

import pytest
import torch
from torch import Tensor

from recsys.errors import ConfigError
from recsys.models.ops import all_pairs as module
from recsys.models.ops.all_pairs import all_pairs
from recsys.models.ops.int8 import Int8MLP, int8_supported
from recsys.models.ops.mlp import MLP

IS_X86 = platform.machine() in ("x86_64", "AMD64")
needs_vnni = pytest.mark.skipif(not int8_supported(), reason="needs a CPU with VNNI instructions")


def reference(mlp: MLP, users: Tensor, items: Tensor) -> Tensor:
    """All pairs in plain torch: one MLP call per user with the whole catalogue."""
    pairs = (torch.cat([user.expand(len(items), -1), items], dim=1) for user in users)
    return torch.stack([mlp(vectors).squeeze(-1) for vectors in pairs])


def make(hidden: list[int], n_users: int = 9, n_items: int = 50) -> tuple[MLP, Tensor, Tensor]:
    torch.manual_seed(0)
    return MLP(5 + 4, hidden, 0.5, 0.5).eval(), torch.randn(n_users, 5), torch.randn(n_items, 4)


@pytest.mark.parametrize("hidden", [[], [8], [16, 8], [4, 32, 8]])
@pytest.mark.parametrize("chunk_bytes", [1, 4 * 32 * 7, 1 << 21])
@torch.no_grad()
def test_fp32_equals_the_reference(hidden: list[int], chunk_bytes: int, monkeypatch) -> None:
    monkeypatch.setattr(module, "CHUNK_BYTES", chunk_bytes)
    mlp, users, items = make(hidden)
    torch.testing.assert_close(all_pairs(mlp, users, items), reference(mlp, users, items))


@torch.no_grad()
def test_empty_batch() -> None:
    mlp, users, items = make([8])
    assert all_pairs(mlp, users[:0], items).shape == (0, len(items))


@pytest.mark.skipif(not IS_X86, reason="x86 only")
@torch.no_grad()
def test_int8_approximates_the_reference(monkeypatch) -> None:
    # On x86 the operators also run without VNNI; values this small do not saturate.
    monkeypatch.setattr("recsys.models.ops.int8.int8_supported", lambda: True)
    mlp, users, items = make([32, 16, 8], n_users=20, n_items=300)
    expected = reference(mlp, users, items)
    found = all_pairs(mlp, users, items, precision="int8")
    error = (found - expected).std() / expected.std()
    assert 0 < error < 0.05
    assert torch.equal(all_pairs(mlp, users, items), all_pairs(mlp, users, items, precision="fp32"))


@needs_vnni
@torch.no_grad()
def test_int8_represents_values_that_few_users_reach() -> None:
    mlp, users, items = make([32, 32], n_users=3000, n_items=100)
    users[-5:] *= 5
    expected = reference(mlp, users, items)
    found = all_pairs(mlp, users, items, precision="int8")
    assert (found - expected)[-5:].std() < 0.05 * expected[-5:].std()


@torch.no_grad()
def test_int8_without_hidden_layers_is_fp32() -> None:
    mlp, users, items = make([])
    assert torch.equal(all_pairs(mlp, users, items, "int8"), all_pairs(mlp, users, items, "fp32"))


def test_int8_is_refused_without_vnni(monkeypatch) -> None:
    monkeypatch.setattr("recsys.models.ops.int8.int8_supported", lambda: False)
    mlp, users, items = make([8])
    with pytest.raises(ConfigError, match=r"candidates=int8: .*VNNI.*candidates=bf16"):
        all_pairs(mlp, users, items, precision="int8")


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch is built without oneDNN")
def test_private_onednn_operators_exist() -> None:
    """Fails when a torch upgrade removes or changes the operators of recsys/models/ops/int8.py."""
    prepack = torch.ops.onednn.qlinear_prepack.default._schema
    assert [argument.name for argument in prepack.arguments] == ["weight", "x_shape"]
    linear = torch.ops.onednn.qlinear_pointwise.default._schema
    assert len(linear.arguments) == 13


@pytest.mark.skipif(not IS_X86, reason="x86 only")
def test_vnni_processors_support_int8() -> None:
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()  # not in torch 2.6
    if not capabilities.get("avx512_vnni"):
        pytest.skip("needs a CPU with AVX512-VNNI instructions")
    assert int8_supported()


@needs_vnni
@torch.no_grad()
def test_int8_layers_with_weights_and_values_of_zero() -> None:
    mlp, users, items = make([8])
    for parameter in mlp.parameters():
        torch.nn.init.zeros_(parameter)
    assert torch.equal(all_pairs(mlp, users, items, "int8"), torch.zeros(len(users), len(items)))


def test_quantised_parts_add_without_overflow(monkeypatch) -> None:
    monkeypatch.setattr("recsys.models.ops.int8.int8_supported", lambda: True)
    mlp = Int8MLP([], torch.zeros(1, 4))
    mlp.scales = [1e-6]
    part = mlp.quantise(torch.tensor([-1e9, 0.0, 1e9]))
    assert (part + part).tolist() == [-(2**15), 0, 2**15 - 2]
