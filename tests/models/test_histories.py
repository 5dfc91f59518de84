"""Lists and matrix of the same ratings have the same sums and gradients, which equal those of a loop."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.networks import TERMS

from recsys.models import histories
from recsys.models.histories import HistoryLists, HistoryMatrix
from recsys.models.hybrid import HybridNet
from recsys.training.losses import Pointwise

N_USERS, N_ITEMS, DIM = 5, 7, 3
PAIRS = st.sets(st.tuples(st.integers(0, N_USERS - 1), st.integers(0, N_ITEMS - 1)), min_size=1)


def both(pairs: set[tuple[int, int]]) -> tuple[HistoryLists, HistoryMatrix, np.ndarray]:
    """Return both forms, and a matrix of residuals that is NaN where there is no rating."""
    users, items = (np.array(column, dtype=np.int32) for column in zip(*pairs, strict=True))
    residuals = np.random.default_rng(0).normal(size=len(pairs)).astype(np.float32)
    table = np.full((N_USERS, N_ITEMS), np.nan, dtype=np.float32)
    table[users, items] = residuals
    lists = HistoryLists.of(users, items, residuals, N_USERS, N_ITEMS)
    return lists, HistoryMatrix(lists.keys, lists.residuals, N_USERS, N_ITEMS), table


@settings(deadline=None)
@given(PAIRS, st.lists(st.integers(0, N_USERS - 1), min_size=1, max_size=9))
def test_sums_and_gradients_equal_those_of_a_loop(pairs: set[tuple[int, int]], users: list[int]) -> None:
    lists, matrix, table = both(pairs)
    generator = torch.Generator().manual_seed(0)
    chosen, liked = (torch.randn(N_ITEMS, DIM, generator=generator, requires_grad=True) for _ in range(2))
    index = torch.tensor(users, dtype=torch.int32)
    rated = torch.from_numpy(~np.isnan(table))[index].float()
    residuals = torch.from_numpy(np.nan_to_num(table))[index]
    expected = (
        rated @ chosen,
        rated @ liked,
        residuals @ liked,
        residuals.sum(1, keepdim=True),
        rated.sum(1, keepdim=True),
    )
    upstream = torch.randn(len(users), DIM, generator=generator)
    gradients = torch.autograd.grad(list(expected[:3]), [chosen, liked], [upstream] * 3, retain_graph=True)
    for ratings in (lists, matrix):
        sums = ratings.sums(index, chosen, liked)
        torch.testing.assert_close(tuple(sums), expected, atol=1e-5, rtol=1e-5)
        found = torch.autograd.grad(list(sums[:3]), [chosen, liked], [upstream] * 3)
        torch.testing.assert_close(found, gradients, atol=1e-5, rtol=1e-5)
    without_distinct = lists._sums(index.long(), chosen, liked)  # as on a GPU
    torch.testing.assert_close(tuple(without_distinct), expected, atol=1e-5, rtol=1e-5)


@settings(deadline=None)
@given(PAIRS)
def test_pairs_are_found(pairs: set[tuple[int, int]]) -> None:
    lists, matrix, table = both(pairs)
    users, items = torch.cartesian_prod(torch.arange(N_USERS), torch.arange(N_ITEMS)).int().T
    is_rated = torch.from_numpy(~np.isnan(table)).float().view(-1, 1)
    residuals = torch.from_numpy(np.nan_to_num(table)).view(-1, 1)
    for ratings in (lists, matrix):
        assert torch.equal(ratings.of_pairs(users, items)[0], is_rated)
        assert torch.equal(ratings.of_pairs(users, items)[1], residuals)
        assert torch.equal(ratings.counts, is_rated.view(N_USERS, N_ITEMS).sum(1).long())


@settings(deadline=None)
@given(
    PAIRS,
    st.lists(st.integers(0, N_USERS - 1), min_size=1, max_size=9),
    st.lists(st.integers(0, N_ITEMS - 1), min_size=1, max_size=9),
)
def test_blocks_of_pairs_are_found(pairs: set[tuple[int, int]], users: list[int], items: list[int]) -> None:
    lists, matrix, table = both(pairs)
    expected = torch.from_numpy(~np.isnan(table))[users][:, items].float()
    for ratings in (lists, matrix):
        found = ratings.are_rated(torch.tensor(users).int(), torch.tensor(items).int())
        assert torch.equal(found, expected)


def test_a_matrix_is_used_on_a_gpu_if_it_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    lists, _, _ = both({(0, 1), (2, 3)})
    assert lists.on(torch.device("cpu")) is lists
    assert isinstance(lists.on(torch.device("meta")), HistoryMatrix)
    assert lists.on(torch.device("meta")) is lists.on(torch.device("meta")), "copied once"
    monkeypatch.setattr(histories, "MAX_MATRIX_BYTES", 5 * N_USERS * N_ITEMS - 1)
    lists, _, _ = both({(0, 1), (2, 3)})
    assert isinstance(lists.on(torch.device("meta")), HistoryLists)


def test_a_network_learns_the_same_from_both(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loss, gradients and scorer are those of the lists, to rounding."""
    from support.training import synthetic_data

    data = synthetic_data()
    batch = next(iter(data.train_dataloader()))

    def step() -> tuple[torch.Tensor, list[torch.Tensor], torch.Tensor]:
        torch.manual_seed(0)
        network = HybridNet.from_data(data, user=TERMS, item=TERMS, head="ordinal").eval()
        loss = Pointwise()(network, batch)
        loss.backward()
        gradients = [parameter.grad for parameter in network.parameters()]
        return loss.detach(), gradients, network.scorer().score_catalogue(torch.arange(40))

    expected = step()
    monkeypatch.setattr(
        HistoryLists,
        "on",
        lambda self, _: HistoryMatrix(self.keys, self.residuals, len(self.counts), self.n_columns),
    )
    torch.testing.assert_close(step(), expected, atol=1e-5, rtol=1e-4)
