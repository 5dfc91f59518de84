from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.datasets import dataset_of

from recsys.data.dataset import Dataset
from recsys.data.splits import (
    KFoldSplit,
    LeaveLastSplit,
    NewItemsSplit,
    NewUsersSplit,
    OfficialSplit,
    RandomSplit,
    Split,
    SplitMethod,
    TemporalSplit,
    draw,
)
from recsys.errors import DataError

Factory = Callable[[int], SplitMethod]  # from a seed
FACTORIES: dict[str, Factory] = {
    "random": lambda seed: RandomSplit(seed=seed),
    **{f"kfold {fold}": lambda seed, fold=fold: KFoldSplit(k=3, fold=fold, seed=seed) for fold in range(3)},
    **{
        fold: lambda seed, fold=fold: OfficialSplit(fold=fold, seed=seed) for fold in ("u1", "u5", "ua", "ub")
    },
    "new-users": lambda seed: NewUsersSplit(seed=seed, test=0.3),
    "new-items": lambda seed: NewItemsSplit(seed=seed, test=0.3),
    "temporal": lambda _: TemporalSplit(),
    "leave-last": lambda _: LeaveLastSplit(),
}


@st.composite
def datasets(draw: st.DrawFn, name: str = "ml-100k") -> Dataset:
    """Six users with 12 to 20 ratings each in random order; some timestamps are equal."""
    counts = draw(st.lists(st.integers(12, 20), min_size=6, max_size=6))
    random = np.random.default_rng(draw(st.integers(0, 2**31)))
    users = random.permutation(np.repeat(np.arange(6), counts))
    times = random.integers(1, 40, len(users))
    return dataset_of(users, times, name)


@pytest.mark.parametrize("factory", FACTORIES.values(), ids=FACTORIES.keys())
@given(dataset=datasets(), seed=st.integers(0, 2**31))
def test_subsets_are_disjoint_complete_sorted_and_reproducible(
    factory: Factory, dataset: Dataset, seed: int
) -> None:
    split = factory(seed)(dataset)
    subsets = (split.train, split.val, split.test)
    assert sorted(np.concatenate(subsets).tolist()) == list(range(len(dataset)))
    for rows in subsets:
        assert rows.dtype == np.int64
        assert (np.diff(rows) > 0).all()
    again = factory(seed)(dataset)
    assert [rows.tolist() for rows in (again.train, again.val, again.test)] == [r.tolist() for r in subsets]
    assert again.fingerprint == split.fingerprint


def test_random_split_uses_one_permutation() -> None:
    dataset = dataset_of(np.arange(200) % 7, np.arange(200))
    split = RandomSplit(seed=3, val=0.2, test=0.1)(dataset)
    order = np.random.default_rng(3).permutation(200)
    assert split.test.tolist() == sorted(order[:20])
    assert split.val.tolist() == sorted(order[20:60])


@given(st.integers(100, 400), st.integers(40, 90), st.floats(0.1, 0.4), st.floats(0.1, 0.4))
def test_large_data_is_drawn_in_blocks_with_equal_shares(n: int, size: int, val: float, test: float) -> None:
    dataset = dataset_of(np.arange(n) % 7, np.arange(n))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(draw, "ROWS_PER_BLOCK", size)
        split, again = (RandomSplit(seed=1, val=val, test=test)(dataset) for _ in range(2))
    assert split.fingerprint == again.fingerprint
    blocks = -(-n // size)
    inner = [n * k // blocks for k in range(1, blocks)]
    for rows, share in ((split.val, val), (split.test, test)):
        assert len(rows) == round(share * n)
        for selected in np.split(np.isin(np.arange(n), rows), inner):
            assert abs(selected.sum() - share * len(selected)) <= 1


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("random", "train val test"),
        ("kfold 0", "train val test"),
        ("u1", "train val"),
        ("ua", "train val"),
        ("new-users", "train val test"),
        ("new-items", "train val test"),
    ],
)
def test_the_seed_changes_only_the_random_subsets(name: str, changed: str) -> None:
    dataset = dataset_of(np.arange(200) % 10, name="ml-100k")
    one, other = (FACTORIES[name](seed)(dataset) for seed in (0, 1))
    different = [
        subset
        for subset in ("train", "val", "test")
        if getattr(one, subset).tolist() != getattr(other, subset).tolist()
    ]
    assert different == changed.split()
    assert one.fingerprint != other.fingerprint


@pytest.mark.parametrize("method", [RandomSplit, TemporalSplit])
@pytest.mark.parametrize(
    ("shares", "sizes"),
    [
        ({}, (80, 10, 10)),
        ({"val": 0.04, "test": 0.2}, (76, 4, 20)),
        ({"val": 0.5, "test": 0.49}, (1, 50, 49)),
    ],
)
def test_subsets_have_the_given_shares_of_all_ratings(
    method: type[SplitMethod], shares: dict, sizes: tuple[int, int, int]
) -> None:
    split = method(**shares)(dataset_of([0] * 100))
    assert (len(split.train), len(split.val), len(split.test)) == sizes


@given(st.integers(30, 120), st.integers(2, 7), st.integers(0, 99))
def test_the_test_sets_of_all_folds_contain_every_row_once(n: int, k: int, seed: int) -> None:
    dataset = dataset_of([0] * n)
    folds = [KFoldSplit(k=k, fold=fold, seed=seed, val=0.2)(dataset) for fold in range(k)]
    assert sorted(np.concatenate([split.test for split in folds]).tolist()) == list(range(n))
    assert {len(split.test) for split in folds} <= {n // k, n // k + 1}
    for split in folds:
        assert len(split.val) == round(0.2 * (n - len(split.test)))


def test_folds_of_one_seed_have_different_validation_sets() -> None:
    dataset = dataset_of([0] * 1000)
    first, second = (KFoldSplit(fold=fold, val=0.2)(dataset) for fold in (0, 1))
    assert set(first.val) != set(second.val)
    assert not set(first.val) <= set(second.test)


@pytest.mark.parametrize(("k", "fold"), [(5, 5), (2, 7)])
def test_a_fold_after_the_last_is_an_error(k: int, fold: int) -> None:
    method = KFoldSplit(k=k, fold=fold)
    (message,) = method.check(None)
    assert message == f"split.fold={fold}: folds are 0 to {k - 1} (split.k={k})"
    with pytest.raises(DataError) as error:
        method(dataset_of([0] * 50))
    assert str(error.value) == message


@pytest.mark.parametrize("method", [RandomSplit, TemporalSplit, NewUsersSplit, NewItemsSplit])
def test_shares_that_leave_no_training_ratings_are_an_error(method: type[SplitMethod]) -> None:
    (message,) = method(val=0.5, test=0.5).check("ml-100k")
    assert message.startswith("split.val=0.5 and split.test=0.5 leave nothing to train on")
    assert list(method(val=0.5, test=0.4).check("ml-100k")) == []


@pytest.mark.parametrize(
    ("method", "described"),
    [
        (RandomSplit(), "random(seed=0, val=0.1, test=0.1)"),
        (KFoldSplit(fold=2), "kfold(k=5, fold=2, seed=0, val=0.05)"),
        (OfficialSplit(fold="ua"), "official(fold=ua, seed=0, val=0.05)"),
        (TemporalSplit(), "temporal(val=0.1, test=0.1)"),
        (LeaveLastSplit(), "leave-last()"),
        (NewUsersSplit(seed=4), "new-users(seed=4, val=0.1, test=0.1)"),
        (NewItemsSplit(test=0.2), "new-items(seed=0, val=0.1, test=0.2)"),
    ],
)
def test_descriptions_have_the_name_and_all_options(method: SplitMethod, described: str) -> None:
    assert method.describe() == described


class EveryThird(SplitMethod):
    """A split as a user would add it, with as little as possible."""

    def __init__(self, offset: int = 0) -> None:
        self.offset = offset

    def __call__(self, dataset: Dataset) -> Split:
        rows = np.arange(len(dataset))
        return Split(*(rows[(rows + self.offset) % 3 == number] for number in range(3)))


def test_a_custom_split_only_has_to_be_callable() -> None:
    method = EveryThird(offset=1)
    assert list(method.check("any")) == []
    assert method.describe() == "EveryThird(offset=1)"
    assert method(dataset_of([0] * 6)).test.tolist() == [1, 4]


@pytest.mark.parametrize(
    ("name", "fold", "rows"),
    [
        ("ml-100k", "u1", range(20)),
        ("ml-100k", "u2", range(20, 40)),
        ("ml-100k", "u5", range(80, 100)),
        ("ml-10m", "r1", range(20)),
        ("ml-10m", "r4", range(60, 80)),
        ("ml-10m", "r5", range(80, 104)),
    ],
)
def test_official_fold_k_is_the_kth_fifth(name: str, fold: str, rows: range) -> None:
    n = 100 if name == "ml-100k" else 104  # the remainder belongs to the last fold
    assert OfficialSplit(fold=fold)(dataset_of([0] * n, name=name)).test.tolist() == list(rows)


@given(datasets("ml-10m"))
def test_official_folds_a_and_b_are_ten_ratings_of_each_user(dataset: Dataset) -> None:
    own: dict[int, list[int]] = {}
    for row, user in enumerate(dataset.users.tolist()):
        own.setdefault(user, []).append(row)
    for fold, start in (("ra", 0), ("rb", 10)):
        expected = sorted(row for rows in own.values() for row in rows[start : start + 10])
        assert OfficialSplit(fold=fold)(dataset).test.tolist() == expected


def test_official_validation_set_is_a_share_of_the_other_ratings() -> None:
    split = OfficialSplit(fold="u3", val=0.1)(dataset_of([0] * 1000, name="ml-100k"))
    assert (len(split.train), len(split.val), len(split.test)) == (720, 80, 200)


@pytest.mark.parametrize(
    ("name", "fold", "message"),
    [
        ("ml-100k", "r1", "split.fold=r1: the folds of ml-100k are u1, u2, u3, u4, u5, ua, ub"),
        ("ml-100k", "u6", "split.fold=u6: the folds of ml-100k are u1, u2, u3, u4, u5, ua, ub"),
        ("ml-10m", "u1", "split.fold=u1: the folds of ml-10m are r1, r2, r3, r4, r5, ra, rb"),
        ("ml-1m", "u1", "split=official with data=ml-1m: only data=ml-100k and data=ml-10m have"),
    ],
)
def test_an_unknown_official_fold_is_an_error(name: str, fold: str, message: str) -> None:
    method = OfficialSplit(fold=fold)
    assert next(iter(method.check(name))).startswith(message)
    with pytest.raises(DataError, match=f"^{message}"):
        method(dataset_of([0] * 100, name=name))


@given(datasets())
def test_temporal_subsets_are_in_order_of_time(dataset: Dataset) -> None:
    split = TemporalSplit(val=0.2, test=0.3)(dataset)
    # Of equal timestamps, the later row of the file counts as later.
    keys = [
        [(int(dataset.timestamps[row]), int(row)) for row in getattr(split, subset)]
        for subset in ("train", "val", "test")
    ]
    assert max(keys[0]) < min(keys[1])
    assert max(keys[1]) < min(keys[2])
    assert (len(split.val), len(split.test)) == (round(0.2 * len(dataset)), round(0.3 * len(dataset)))


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 9)), max_size=40))
def test_leave_last_takes_the_last_two_ratings_of_each_user(
    extra: list[tuple[int, int]],
) -> None:
    rows = [*extra, (9, 1), (9, 2), (9, 3)]
    dataset = dataset_of([user for user, _ in rows], [time for _, time in rows])
    expected: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    for user in {user for user, _ in rows}:
        own = sorted((time, row) for row, (rater, time) in enumerate(rows) if rater == user)
        for position, (_, row) in enumerate(reversed(own)):
            subset = "train" if len(own) < 3 or position > 1 else ("test", "val")[position]
            expected[subset].append(row)
    split = LeaveLastSplit()(dataset)
    for subset, rows_of_subset in expected.items():
        assert getattr(split, subset).tolist() == sorted(rows_of_subset)


@pytest.mark.parametrize("method", [TemporalSplit(), LeaveLastSplit()], ids=lambda method: method.name)
def test_splits_by_time_require_all_timestamps(method: SplitMethod) -> None:
    assert method.requires_timestamps
    times = np.arange(50)
    times[[3, 8]] = 0
    with pytest.raises(DataError, match=rf"^split={method.name}: .* 3 of 50 ratings in ml-1m"):
        method(dataset_of([0] * 50, times, "ml-1m"))


@pytest.mark.parametrize(
    ("method", "users", "subset"),
    [
        (RandomSplit(val=0.5, test=0.5), [0] * 10, "train"),
        (RandomSplit(val=0.9, test=0.9), [0] * 10, "train"),
        (RandomSplit(val=0.01), [0] * 10, "val"),
        (KFoldSplit(), [0] * 10, "val"),
        (TemporalSplit(test=0.01), [0] * 10, "test"),
        (LeaveLastSplit(), [0, 0, 1, 1], "val"),
    ],
)
def test_an_empty_subset_is_an_error(method: SplitMethod, users: list[int], subset: str) -> None:
    with pytest.raises(DataError, match=f"^split: the {subset} set is empty"):
        method(dataset_of(users))


def test_an_empty_subset_of_large_data_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draw, "ROWS_PER_BLOCK", 40)
    with pytest.raises(DataError, match=r"^split: the train set is empty"):
        RandomSplit(val=0.9, test=0.9)(dataset_of([0] * 100))


def test_fingerprints_do_not_change_between_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    def split(*subsets: list[int]) -> Split:
        return Split(*(np.array(rows) for rows in subsets))

    fingerprint = split([0, 1], [2], [3]).fingerprint
    assert fingerprint == "13457d4918225661"
    assert split([0], [1, 2], [3]).fingerprint != fingerprint
    assert split([0, 1], [3], [2]).fingerprint != fingerprint
    # All published results depend on the drawn rows.
    dataset = dataset_of([0] * 100)
    assert RandomSplit()(dataset).fingerprint == "45fe52de794775ad"
    assert KFoldSplit()(dataset).fingerprint == "f0af41ce11f3a401"
    monkeypatch.setattr(draw, "ROWS_PER_BLOCK", 40)
    assert RandomSplit()(dataset).fingerprint == "701faeabb97db055"
    assert KFoldSplit()(dataset).fingerprint == "f6e38cc7c93fd62e"


@given(dataset=datasets(), seed=st.integers(0, 2**31))
def test_new_users_have_no_training_ratings(dataset: Dataset, seed: int) -> None:
    split = NewUsersSplit(seed=seed, val=0.2, test=0.3)(dataset)
    hidden = set(dataset.users[split.test].tolist())
    assert len(hidden) == round(0.3 * 6)
    assert not hidden & set(dataset.users[np.concatenate([split.train, split.val])].tolist())
    assert len(split.val) == round(0.2 * (len(dataset) - len(split.test)))


@given(dataset=datasets(), seed=st.integers(0, 2**31))
def test_new_items_have_no_training_ratings(dataset: Dataset, seed: int) -> None:
    split = NewItemsSplit(seed=seed, val=0.2, test=0.3)(dataset)
    hidden = set(dataset.items[split.test].tolist())
    assert len(hidden) == round(0.3 * len(dataset.item_ids))
    assert not hidden & set(dataset.items[np.concatenate([split.train, split.val])].tolist())
    assert len(split.val) == round(0.2 * (len(dataset) - len(split.test)))


def test_new_users_requires_enough_users_for_a_test_set() -> None:
    with pytest.raises(DataError, match="the test set is empty"):
        NewUsersSplit(test=0.1)(dataset_of(np.arange(40) % 4))
