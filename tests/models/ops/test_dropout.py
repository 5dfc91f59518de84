import pytest
import torch

from recsys.models.ops.dropout import Dropout


@pytest.mark.parametrize("p", [0.05, 0.25, 0.5, 0.9, 0.999])
def test_rate_and_scale(p: float) -> None:
    torch.manual_seed(0)
    dropped = Dropout(p)(torch.ones(1000, 1001))
    rate = min(round(256 * p), 255) / 256
    zeros = (dropped == 0).double().mean().item()
    assert zeros == pytest.approx(rate, abs=4 * (rate * (1 - rate) / dropped.numel()) ** 0.5)
    assert dropped.unique().tolist() == pytest.approx([0, 1 / (1 - rate)])


def test_neighbours_are_independent() -> None:
    torch.manual_seed(0)
    kept = (Dropout(0.5)(torch.ones(1_000_000)) != 0).double() - 0.5
    for distance in (1, 2, 7, 8, 64):  # also elements whose masks came from the same random number
        correlation = 4 * (kept[:-distance] * kept[distance:]).mean().item()
        assert abs(correlation) < 5e-3, distance


def test_gradient_flows_through_what_was_kept() -> None:
    torch.manual_seed(0)
    x = torch.randn(33, 7, requires_grad=True)
    dropped = Dropout(0.3)(x)
    dropped.sum().backward()
    assert torch.allclose(x.grad * x, dropped)
    assert 0 < (x.grad == 0).sum() < x.numel()


def test_seed_decides_the_masks() -> None:
    x = torch.ones(100)
    first, second, again = (Dropout(0.5)(x) for seed in (1, 2, 1) if torch.manual_seed(seed))
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("dropout", [Dropout(0.5).eval(), Dropout(0.0)])
def test_does_nothing_when_evaluating_or_at_rate_zero(dropout: Dropout) -> None:
    x = torch.randn(5)
    assert dropout(x) is x


def test_keeps_the_precision_of_its_input() -> None:
    assert Dropout(0.5)(torch.ones(8, dtype=torch.bfloat16)).dtype == torch.bfloat16
