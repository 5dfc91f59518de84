import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.data.sources.synthetic import Synthetic
from recsys.errors import DataError


@given(st.integers(1, 12), st.integers(1, 12), st.data())
def test_pairs_are_distinct_and_ratings_on_the_scale(users: int, items: int, data: st.DataObject) -> None:
    n = data.draw(st.integers(1, users * items))
    dataset = Synthetic(ratings=n, users=users, items=items).load()
    assert len(dataset) == n
    assert len(set(zip(dataset.users.tolist(), dataset.items.tolist(), strict=True))) == n
    assert set(dataset.user_ids.ids) <= set(range(1, users + 1))
    assert set(dataset.item_ids.ids) <= set(range(1, items + 1))
    assert dataset.ratings.min() >= 1
    assert dataset.ratings.max() <= 5
    assert dataset.has_timestamps
    assert (np.diff(dataset.timestamps) >= 0).all()


def test_more_ratings_than_pairs_are_an_error() -> None:
    source = Synthetic(ratings=7, users=2, items=3)
    (message,) = source.check()
    assert message.startswith("data.ratings=7: data.users x data.items is only 6 pairs")
    with pytest.raises(DataError) as error:
        source.load()
    assert str(error.value) == message
    assert list(Synthetic(ratings=6, users=2, items=3).check()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"users": 10**12}, "data.users=1000000000000: must be at most 100,000,000"),
        ({"items": 10**12}, "data.items=1000000000000: must be at most 100,000,000"),
        ({"ratings": 10**12}, "data.ratings=1000000000000: must be at most 1,000,000,000"),
        ({"users": 10**10, "items": 10**10}, "data.users=10000000000: must be at most 100,000,000"),
        ({"rank": 10**12}, "data.rank=1000000000000: (data.users + data.items) x data.rank must be at most "),
        ({"rank": 10**12}, "1,000,000,000; use at most data.rank=2000000"),
        ({"users": 10**8, "items": 10**8, "rank": 6}, "use at most data.rank=5"),
        ({"users": 10**4299}, "(4,300 characters): must be at most 100,000,000"),
        ({"users": 10**5000}, "characters): must be at most 100,000,000"),
    ],
)
def test_numbers_that_fit_no_memory_are_refused(options: dict, message: str) -> None:
    source = Synthetic(**options)
    first, *_ = source.check()
    assert message in first
    assert len(first) < 200
    with pytest.raises(DataError) as error:
        source.load()
    assert str(error.value) == first


def test_the_seed_determines_the_data() -> None:
    source = Synthetic(ratings=500)
    assert source.load().sha256 == source.load().sha256
    assert source.load().sha256 != dataclasses.replace(source, seed=1).load().sha256


def test_without_noise_the_ratings_are_the_clipped_truth() -> None:
    source = Synthetic(ratings=600, users=30, items=20, noise=0, step=0)
    dataset = source.load()
    truth = source.truth()
    assert truth.shape == (30, 20)
    assert truth.max() > 5  # so that clipping has an effect
    assert dataset.ratings.tolist() == truth[dataset.users, dataset.items].clip(1, 5).tolist()


def test_the_truth_is_computed_only_for_the_drawn_pairs() -> None:
    dataset = Synthetic(ratings=1000, users=1_000_000, items=100_000).load()  # all pairs would take 800 GB
    assert len(dataset) == 1000
    assert dataset.ratings.std() == pytest.approx(np.sqrt(0.3**2 + 0.3**2 + 0.5**2 + 0.3**2), rel=0.1)


@pytest.mark.parametrize("rank", [1, 2, 8])
def test_biases_and_product_have_the_documented_deviations(rank: int) -> None:
    truth = Synthetic(users=3000, items=2000, rank=rank).truth().astype(float) - 3
    user, item = truth.mean(1, keepdims=True), truth.mean(0, keepdims=True)
    rest = truth - user - item + truth.mean()
    assert truth.mean() == pytest.approx(0, abs=0.05)
    assert [user.std(), item.std()] == pytest.approx([0.3, 0.3], rel=0.1)
    assert rest.std() == pytest.approx(0.5, rel=0.1)


def test_the_noise_has_the_documented_deviation() -> None:
    source = Synthetic(noise=0.3, step=0)
    dataset = source.load()
    truth = source.truth()[dataset.users, dataset.items]
    far_from_clipping = (truth > 2.5) & (truth < 3.5)
    assert (dataset.ratings - truth)[far_from_clipping].std() == pytest.approx(0.3, rel=0.03)


def test_every_item_has_title_year_and_genres() -> None:
    item_table = Synthetic().load().item_table
    assert item_table["title"][0] == "Synthetic Item 1 (1931)"
    assert item_table["year"][0] == 1931
    assert item_table["genres"].tolist()[:2] == ["Comedy|Romance", "Drama"]


def test_ratings_can_be_rounded_to_steps() -> None:
    exact, rounded = Synthetic(ratings=500, step=0).load(), Synthetic(ratings=500).load()
    assert set((rounded.ratings * 2).tolist()) <= set(range(2, 11))
    assert np.abs(rounded.ratings - exact.ratings).max() <= 0.25 + 1e-6
