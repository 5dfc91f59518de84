import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from recsys.models.ops.embedding_bag import Bags

ROWS = 7  # of the table


def gradient(sums: Tensor, table: Tensor) -> Tensor:
    """That of a sum which weighs every number of `sums` in its own way."""
    upper = torch.randn(sums.shape, generator=torch.Generator().manual_seed(1), dtype=sums.dtype)
    return torch.autograd.grad(sums, table, upper)[0]


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, ROWS - 1), max_size=9), min_size=1, max_size=6), st.booleans())
def test_sums_and_gradients_are_those_of_embedding_bag(bags: list[list[int]], weighted: bool) -> None:
    """Also of empty bags, of rows that come twice in one, and of rows that are in none."""
    rows = torch.tensor([row for bag in bags for row in bag], dtype=torch.int32)
    starts = torch.tensor([0, *(len(bag) for bag in bags[:-1])]).cumsum(0).int()
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(ROWS, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(len(rows), generator=generator, dtype=torch.float64) if weighted else None
    ours = Bags(rows, starts, ROWS).sum(table, weights)
    theirs = functional.embedding_bag(rows, table, starts, mode="sum", per_sample_weights=weights)
    assert torch.equal(ours, theirs)
    torch.testing.assert_close(gradient(ours, table), gradient(theirs, table), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_gradient_is_that_of_finite_differences(weighted: bool) -> None:
    table = torch.randn(ROWS, 2, dtype=torch.float64, requires_grad=True)
    bags = Bags(torch.tensor([0, 3, 3, 6, 1]).int(), torch.tensor([0, 2, 2, 4]).int(), ROWS)
    weights = torch.tensor([1.0, -2.0, 0.5, 3.0, 0.0], dtype=torch.float64) if weighted else None
    assert torch.autograd.gradcheck(lambda table: bags.sum(table, weights), table)
