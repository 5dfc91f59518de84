import pytest
import torch

from recsys.models.ops.dropout import Dropout, random_bytes


def reference(x: torch.Tensor, p: float) -> torch.Tensor:
    """Inverted dropout in plain torch, with the random bytes that `Dropout` draws."""
    rate = min(round(256 * p), 255) / 256
    is_kept = random_bytes(x.shape).double() / 256 >= rate
    return torch.where(is_kept, x / (1 - rate), 0.0)


@pytest.mark.parametrize("p", [0.05, 0.25, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("shape", [(1,), (33, 7), (2, 3, 16)])
def test_outputs_and_gradients_equal_the_reference(p: float, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(shape, dtype=torch.float64)
    results = []
    for function in (Dropout(p), lambda x: reference(x, p)):
        torch.manual_seed(0)
        outputs = function(x)
        results.append((outputs, *torch.autograd.grad(outputs, x, weights)))
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("p", [0.05, 0.25, 0.5, 0.9, 0.999])
def test_rate_and_scale(p: float) -> None:
    torch.manual_seed(0)
    dropped = Dropout(p)(torch.ones(1000, 1001))
    rate = min(round(256 * p), 255) / 256
    zeros = (dropped == 0).double().mean().item()
    assert zeros == pytest.approx(rate, abs=4 * (rate * (1 - rate) / dropped.numel()) ** 0.5)
    assert dropped.unique().tolist() == pytest.approx([0, 1 / (1 - rate)])


def test_neighbouring_elements_are_independent() -> None:
    torch.manual_seed(0)
    kept = (Dropout(0.5)(torch.ones(1_000_000)) != 0).double() - 0.5
    for distance in (1, 2, 7, 8, 64):  # includes elements whose masks come from the same random number
        correlation = 4 * (kept[:-distance] * kept[distance:]).mean().item()
        assert abs(correlation) < 5e-3, distance


def test_seed_determines_the_mask() -> None:
    x = torch.ones(100)
    first, second, repeated = (Dropout(0.5)(x) for seed in (1, 2, 1) if torch.manual_seed(seed))
    assert torch.equal(first, repeated)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("dropout", [Dropout(0.5).eval(), Dropout(0.0)])
def test_identity_in_evaluation_mode_and_at_rate_zero(dropout: Dropout) -> None:
    x = torch.randn(5)
    assert dropout(x) is x


def test_keeps_the_dtype_of_its_input() -> None:
    assert Dropout(0.5)(torch.ones(8, dtype=torch.bfloat16)).dtype == torch.bfloat16
