import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from recsys.models.ops.embedding_bag import BagIndex, bag_sums, sums_in_pieces

TABLE_ROWS = 7


def table_gradient(sums: Tensor, table: Tensor) -> Tensor:
    """Return the gradient of the table for a random gradient of the sums."""
    upstream = torch.randn(sums.shape, generator=torch.Generator().manual_seed(1), dtype=sums.dtype)
    return torch.autograd.grad(sums, table, upstream)[0]


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, TABLE_ROWS - 1), max_size=9), min_size=1, max_size=6), st.booleans())
def test_sums_and_gradients_equal_torch_embedding_bag(bags: list[list[int]], weighted: bool) -> None:
    """Includes empty bags, rows repeated in one bag, and rows in no bag."""
    indices = torch.tensor([row for bag in bags for row in bag], dtype=torch.int32)
    offsets = torch.tensor([0, *(len(bag) for bag in bags[:-1])]).cumsum(0).int()
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(TABLE_ROWS, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(len(indices), generator=generator, dtype=torch.float64) if weighted else None
    found = bag_sums(table, BagIndex(indices, offsets, TABLE_ROWS), weights)
    expected = functional.embedding_bag(indices, table, offsets, mode="sum", per_sample_weights=weights)
    assert torch.equal(found, expected)
    torch.testing.assert_close(
        table_gradient(found, table), table_gradient(expected, table), rtol=1e-12, atol=1e-12
    )


@settings(deadline=None)
@given(
    st.lists(st.lists(st.integers(0, TABLE_ROWS - 1), max_size=9), min_size=1, max_size=6),
    st.booleans(),
    st.integers(1, 4),
)
def test_sums_in_pieces_equal_torch_embedding_bag(bags: list[list[int]], weighted: bool, piece: int) -> None:
    indices = torch.tensor([row for bag in bags for row in bag], dtype=torch.int32)
    offsets = torch.tensor([0, *(len(bag) for bag in bags[:-1])]).cumsum(0).int()
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(TABLE_ROWS, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(len(indices), generator=generator, dtype=torch.float64) if weighted else None
    found = sums_in_pieces(table, BagIndex(indices, offsets, TABLE_ROWS), weights, piece)
    expected = functional.embedding_bag(indices, table, offsets, mode="sum", per_sample_weights=weights)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(
        table_gradient(found, table), table_gradient(expected, table), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("weighted", [False, True])
def test_gradient_equals_finite_differences(weighted: bool) -> None:
    table = torch.randn(TABLE_ROWS, 2, dtype=torch.float64, requires_grad=True)
    bags = BagIndex(torch.tensor([0, 3, 3, 6, 1]).int(), torch.tensor([0, 2, 2, 4]).int(), TABLE_ROWS)
    weights = torch.tensor([1.0, -2.0, 0.5, 3.0, 0.0], dtype=torch.float64) if weighted else None
    assert torch.autograd.gradcheck(lambda table: bag_sums(table, bags, weights), table)
