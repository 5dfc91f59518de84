import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.datasets import dataset_of

from recsys.data.batches import Batch, Batches, Shuffle, to_tensors


def columns(n: int) -> Batch:
    rows = torch.arange(n, dtype=torch.int32)
    return Batch(rows, rows + 1000, rows.float() / 2)


def test_rows_of_a_dataset_become_columns() -> None:
    batch = to_tensors(dataset_of([7, 7, 3, 3]), np.array([3, 0]), "cpu")
    assert [column.tolist() for column in batch] == [[0, 1], [3, 0], [4, 1]]
    assert [column.dtype for column in batch] == [torch.int32, torch.int32, torch.float32]


@given(st.integers(1, 60), st.integers(1, 70))
def test_batches_in_order_are_views_of_every_row(n: int, batch_size: int) -> None:
    whole = columns(n)
    batches = list(Batches(whole, batch_size))
    assert len(batches) == len(Batches(whole, batch_size))
    assert [len(batch.users) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)
    assert 0 < len(batches[-1].users) <= batch_size
    for index, column in enumerate(whole):
        assert torch.equal(torch.cat([batch[index] for batch in batches]), column)
        assert batches[-1][index].untyped_storage().data_ptr() == column.untyped_storage().data_ptr()


@given(st.integers(1, 60), st.integers(1, 70), st.integers(0, 9), st.integers(0, 9))
def test_shuffled_batches_keep_each_rating_together(n: int, batch_size: int, seed: int, epoch: int) -> None:
    order = Shuffle(n, seed)
    order.set_epoch(epoch)
    batches = list(Batches(columns(n), batch_size, order))
    assert len(batches) == len(Batches(columns(n), batch_size, order))
    whole = Batch(*(torch.cat(parts) for parts in zip(*batches, strict=True)))
    assert whole.users.tolist() == order.permutation().tolist()
    assert sorted(whole.users.tolist()) == list(range(n))
    assert torch.equal(whole.items, whole.users + 1000)
    assert torch.equal(whole.ratings, whole.users.float() / 2)


@given(st.integers(1, 5), st.integers(0, 60), st.integers(0, 9), st.integers(0, 9))
def test_processes_share_all_rows_evenly(world: int, more: int, seed: int, epoch: int) -> None:
    n, shares = world + more, []
    for rank in range(world):
        order = Shuffle(n, seed, process_rank=rank, world_size=world)
        order.set_epoch(epoch)
        shares.append(order.permutation().tolist())
        assert len(shares[-1]) == len(order)
    seen = [row for share in shares for row in share]
    assert {len(share) for share in shares} == {-(-n // world)}
    assert set(seen) == set(range(n))
    assert len(seen) - n < world
    assert max(seen.count(row) for row in range(n)) <= 2


def test_only_seed_and_epoch_decide_the_order() -> None:
    def order(seed: int, epoch: int) -> tuple[int, ...]:
        shuffle = Shuffle(50, seed)
        shuffle.set_epoch(epoch)
        torch.rand(seed + 3)  # draws of the default generator do not matter
        return tuple(shuffle.permutation().tolist())

    pairs = [(seed, epoch) for seed in range(3) for epoch in range(3)]
    first, second = [order(*pair) for pair in pairs], [order(*pair) for pair in reversed(pairs)]
    assert first == second[::-1]
    assert len(set(first)) == len(pairs)


def test_shuffling_does_not_use_the_default_generator() -> None:
    before = torch.get_rng_state()
    Shuffle(50, 0).permutation()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_batches_stay_on_their_device() -> None:
    whole = to_tensors(dataset_of([7, 7, 3, 3]), np.arange(4), "cuda")
    for batch in Batches(whole, 3, Shuffle(4, 0, "cuda")):
        assert {column.device.type for column in batch} == {"cuda"}
