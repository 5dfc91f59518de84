from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.made_up import dataset_of

from recsys.data import splits
from recsys.data.dataset import Dataset
from recsys.data.splits import Split
from recsys.errors import DataError

Function = Callable[[Dataset, int], Split]
FUNCTIONS: dict[str, Function] = {
    "random": lambda dataset, seed: splits.random(dataset, seed=seed),
    **{
        f"kfold {fold}": lambda dataset, seed, fold=fold: splits.kfold(dataset, k=3, fold=fold, seed=seed)
        for fold in range(3)
    },
    **{
        fold: lambda dataset, seed, fold=fold: splits.official(dataset, fold=fold, seed=seed)
        for fold in ("u1", "u5", "ua", "ub")
    },
    "new-users": lambda dataset, seed: splits.new_users(dataset, seed=seed, test=0.3),
    "temporal": lambda dataset, _: splits.temporal(dataset),
    "leave-last": lambda dataset, _: splits.leave_last(dataset),
}


@st.composite
def datasets(draw: st.DrawFn, name: str = "ml-100k") -> Dataset:
    """Six users of 12 to 20 ratings each in any order; some times are equal."""
    counts = draw(st.lists(st.integers(12, 20), min_size=6, max_size=6))
    random = np.random.default_rng(draw(st.integers(0, 2**31)))
    users = random.permutation(np.repeat(np.arange(6), counts))
    times = random.integers(1, 40, len(users))
    return dataset_of(users, times, name)


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS.keys())
@given(dataset=datasets(), seed=st.integers(0, 2**31))
def test_parts_are_disjoint_complete_ordered_and_repeatable(
    function: Function, dataset: Dataset, seed: int
) -> None:
    split = function(dataset, seed)
    parts = (split.train, split.val, split.test)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(dataset)))
    for rows in parts:
        assert rows.dtype == np.int64
        assert (np.diff(rows) > 0).all()
    again = function(dataset, seed)
    assert [rows.tolist() for rows in (again.train, again.val, again.test)] == [r.tolist() for r in parts]
    assert again.fingerprint == split.fingerprint


def test_random_takes_its_parts_from_one_shuffle() -> None:
    dataset = dataset_of(np.arange(200) % 7, np.arange(200))
    split = splits.random(dataset, seed=3, val=0.2, test=0.1)
    order = np.random.default_rng(3).permutation(200)
    assert split.test.tolist() == sorted(order[:20])
    assert split.val.tolist() == sorted(order[20:60])


@given(st.integers(100, 400), st.integers(40, 90), st.floats(0.1, 0.4), st.floats(0.1, 0.4))
def test_large_data_are_drawn_by_stretches_that_give_their_shares(
    n: int, stretch: int, val: float, test: float
) -> None:
    dataset = dataset_of(np.arange(n) % 7, np.arange(n))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(splits, "STRETCH", stretch)
        split, again = (splits.random(dataset, seed=1, val=val, test=test) for _ in range(2))
    assert split.fingerprint == again.fingerprint
    stretches = -(-n // stretch)
    inner = [n * k // stretches for k in range(1, stretches)]
    for rows, share in ((split.val, val), (split.test, test)):
        assert len(rows) == round(share * n)
        for some in np.split(np.isin(np.arange(n), rows), inner):
            assert abs(some.sum() - share * len(some)) <= 1


@pytest.mark.parametrize(
    ("name", "moves"),
    [
        ("random", "train val test"),
        ("kfold 0", "train val test"),
        ("u1", "train val"),
        ("ua", "train val"),
        ("new-users", "train val test"),
    ],
)
def test_the_seed_moves_what_is_drawn_and_nothing_else(name: str, moves: str) -> None:
    dataset = dataset_of(np.arange(200) % 10, name="ml-100k")
    one, other = (FUNCTIONS[name](dataset, seed) for seed in (0, 1))
    moved = [
        part
        for part in ("train", "val", "test")
        if getattr(one, part).tolist() != getattr(other, part).tolist()
    ]
    assert moved == moves.split()
    assert one.fingerprint != other.fingerprint


@pytest.mark.parametrize("function", [splits.random, splits.temporal])
@pytest.mark.parametrize(
    ("shares", "sizes"),
    [
        ({}, (80, 10, 10)),
        ({"val": 0.04, "test": 0.2}, (76, 4, 20)),
        ({"val": 0.5, "test": 0.49}, (1, 50, 49)),
    ],
)
def test_parts_have_the_stated_shares_of_all(
    function: Callable[..., Split], shares: dict, sizes: tuple[int, int, int]
) -> None:
    split = function(dataset_of([0] * 100), **shares)
    assert (len(split.train), len(split.val), len(split.test)) == sizes


@given(st.integers(30, 120), st.integers(2, 7), st.integers(0, 99))
def test_the_test_parts_of_all_folds_are_every_row_once(n: int, k: int, seed: int) -> None:
    dataset = dataset_of([0] * n)
    folds = [splits.kfold(dataset, k=k, fold=fold, seed=seed, val=0.2) for fold in range(k)]
    assert sorted(np.concatenate([split.test for split in folds]).tolist()) == list(range(n))
    assert {len(split.test) for split in folds} <= {n // k, n // k + 1}
    for split in folds:
        assert len(split.val) == round(0.2 * (n - len(split.test)))


def test_validation_differs_between_folds_of_one_seed() -> None:
    dataset = dataset_of([0] * 1000)
    first, second = (splits.kfold(dataset, fold=fold, val=0.2) for fold in (0, 1))
    assert set(first.val) != set(second.val)
    assert not set(first.val) <= set(second.test)


@pytest.mark.parametrize(("k", "fold"), [(5, 5), (2, 7)])
def test_a_fold_beyond_the_last_is_refused(k: int, fold: int) -> None:
    with pytest.raises(DataError, match=rf"^split\.fold={fold}: folds are 0 to {k - 1} \(split\.k={k}\)$"):
        splits.kfold(dataset_of([0] * 50), k=k, fold=fold)


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
def test_official_fold_number_k_is_the_kth_fifth(name: str, fold: str, rows: range) -> None:
    n = 100 if name == "ml-100k" else 104  # what a division leaves over joins the last
    assert splits.official(dataset_of([0] * n, name=name), fold=fold).test.tolist() == list(rows)


@given(datasets("ml-10m"))
def test_official_folds_a_and_b_are_ten_ratings_of_each_user(dataset: Dataset) -> None:
    own: dict[int, list[int]] = {}
    for row, user in enumerate(dataset.users.tolist()):
        own.setdefault(user, []).append(row)
    for fold, start in (("ra", 0), ("rb", 10)):
        expected = sorted(row for rows in own.values() for row in rows[start : start + 10])
        assert splits.official(dataset, fold=fold).test.tolist() == expected


def test_official_validation_is_a_share_of_the_rest() -> None:
    split = splits.official(dataset_of([0] * 1000, name="ml-100k"), fold="u3", val=0.1)
    assert (len(split.train), len(split.val), len(split.test)) == (720, 80, 200)


@pytest.mark.parametrize(
    ("name", "fold", "told"),
    [
        ("ml-100k", "r1", "the folds of ml-100k are u1, u2, u3, u4, u5, ua, ub"),
        ("ml-100k", "u6", "the folds of ml-100k are u1, u2, u3, u4, u5, ua, ub"),
        ("ml-10m", "u1", "the folds of ml-10m are r1, r2, r3, r4, r5, ra, rb"),
        ("ml-1m", "u1", r"ml-1m has no official folds \(data=ml-100k and data=ml-10m have\)"),
    ],
)
def test_an_unknown_official_fold_is_told_with_the_known(name: str, fold: str, told: str) -> None:
    with pytest.raises(DataError, match=rf"^split\.fold={fold}: {told}$"):
        splits.official(dataset_of([0] * 100, name=name), fold=fold)


@given(datasets())
def test_temporal_parts_follow_each_other(dataset: Dataset) -> None:
    split = splits.temporal(dataset, val=0.2, test=0.3)
    # Of equal times, the later line of the file counts as later.
    keys = [
        [(int(dataset.timestamps[row]), int(row)) for row in getattr(split, part)]
        for part in ("train", "val", "test")
    ]
    assert max(keys[0]) < min(keys[1])
    assert max(keys[1]) < min(keys[2])
    assert (len(split.val), len(split.test)) == (round(0.2 * len(dataset)), round(0.3 * len(dataset)))


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 9)), max_size=40))
def test_leave_last_takes_the_last_two_of_each_user_of_three(extra: list[tuple[int, int]]) -> None:
    rows = [*extra, (9, 1), (9, 2), (9, 3)]
    dataset = dataset_of([user for user, _ in rows], [time for _, time in rows])
    expected: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    for user in {user for user, _ in rows}:
        own = sorted((time, row) for row, (who, time) in enumerate(rows) if who == user)
        for place, (_, row) in enumerate(reversed(own)):
            expected["train" if len(own) < 3 or place > 1 else ("test", "val")[place]].append(row)
    split = splits.leave_last(dataset)
    for part, found in expected.items():
        assert getattr(split, part).tolist() == sorted(found)


@pytest.mark.parametrize(
    ("function", "name"), [(splits.temporal, "temporal"), (splits.leave_last, "leave-last")]
)
def test_splits_by_time_refuse_unknown_times(function: Callable[[Dataset], Split], name: str) -> None:
    times = np.arange(50)
    times[[3, 8]] = 0
    with pytest.raises(DataError) as error:
        function(dataset_of([0] * 50, times, "ml-1m"))
    assert str(error.value) == (
        f"split={name} needs the time of every rating, but ml-1m lacks 3 of 50. "
        "Use split=random or split=kfold"
    )


@pytest.mark.parametrize(
    ("call", "part"),
    [
        (lambda: splits.random(dataset_of([0] * 10), val=0.5, test=0.5), "train"),
        (lambda: splits.random(dataset_of([0] * 10), val=0.9, test=0.9), "train"),
        (lambda: splits.random(dataset_of([0] * 10), val=0.01), "val"),
        (lambda: splits.kfold(dataset_of([0] * 10)), "val"),
        (lambda: splits.temporal(dataset_of([0] * 10), test=0.01), "test"),
        (lambda: splits.leave_last(dataset_of([0, 0, 1, 1])), "val"),
    ],
)
def test_an_empty_part_is_refused_by_name(call: Callable[[], Split], part: str) -> None:
    with pytest.raises(DataError, match=f"^split: the {part} part is empty"):
        call()


def test_an_empty_part_of_large_data_is_refused_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splits, "STRETCH", 40)
    with pytest.raises(DataError, match=r"^split: the train part is empty"):
        splits.random(dataset_of([0] * 100), val=0.9, test=0.9)


def test_fingerprints_are_lasting(monkeypatch: pytest.MonkeyPatch) -> None:
    def split(*parts: list[int]) -> Split:
        return Split(*(np.array(rows) for rows in parts))

    lasting = split([0, 1], [2], [3]).fingerprint
    assert lasting == "13457d4918225661"
    assert split([0, 1], [2], [3]).fingerprint == lasting
    assert split([0], [1, 2], [3]).fingerprint != lasting
    assert split([0, 1], [3], [2]).fingerprint != lasting
    # Drawn rows are part of every published figure, so they may not move either.
    assert splits.random(dataset_of([0] * 100)).fingerprint == "45fe52de794775ad"
    assert splits.kfold(dataset_of([0] * 100)).fingerprint == "f0af41ce11f3a401"
    monkeypatch.setattr(splits, "STRETCH", 40)
    assert splits.random(dataset_of([0] * 100)).fingerprint == "701faeabb97db055"
    assert splits.kfold(dataset_of([0] * 100)).fingerprint == "f6e38cc7c93fd62e"


@given(dataset=datasets(), seed=st.integers(0, 2**31))
def test_new_users_hides_whole_people(dataset: Dataset, seed: int) -> None:
    split = splits.new_users(dataset, seed=seed, val=0.2, test=0.3)
    hidden = set(dataset.users[split.test].tolist())
    assert len(hidden) == round(0.3 * 6)
    assert not hidden & set(dataset.users[np.concatenate([split.train, split.val])].tolist())
    assert len(split.val) == round(0.2 * (len(dataset) - len(split.test)))


def test_new_users_needs_somebody_to_hide() -> None:
    with pytest.raises(DataError, match="the test part is empty"):
        splits.new_users(dataset_of(np.arange(40) % 4), test=0.1)
