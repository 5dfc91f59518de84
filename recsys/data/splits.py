"""Ratings to train / val / test row numbers; every function is pure and seeded.

Each takes the dataset first and returns a `Split` whose parts are disjoint and complete. In the protocols
with a stated test part (`official`, `kfold`, `new_users`), validation is a seeded share of the rest.
"""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.errors import DataError
from recsys.types import Fraction, NonNegativeInt

STRETCH = 1 << 20  # rows that a part is drawn from at a time

Rows = NDArray[np.int64]
Parts = NDArray[np.int8]  # of every row: one of
TRAIN, VAL, TEST = range(3)
OfficialFold = Literal["u1", "u2", "u3", "u4", "u5", "ua", "ub", "r1", "r2", "r3", "r4", "r5", "ra", "rb"]


@dataclass(frozen=True, eq=False)
class Split:
    """Row numbers of the three parts, each in ascending order."""

    train: Rows
    val: Rows
    test: Rows

    def __post_init__(self) -> None:
        for part in ("train", "val", "test"):
            if len(getattr(self, part)) == 0:
                raise DataError(f"split: the {part} part is empty; give it more ratings")

    @cached_property
    def fingerprint(self) -> str:
        """The same for the same rows in the same parts, on every machine."""
        digest = hashlib.sha256()
        for rows in (self.train, self.val, self.test):
            digest.update(len(rows).to_bytes(8, "little"))
            digest.update(rows.astype("<i8").tobytes())
        return digest.hexdigest()[:16]


def random(dataset: Dataset, *, seed: NonNegativeInt = 0, val: Fraction = 0.1, test: Fraction = 0.1) -> Split:
    """Every rating falls into a part by chance; `val` and `test` are shares of all ratings."""
    return _split_of(_draw(len(dataset), np.random.default_rng(seed), val, test))


def kfold(
    dataset: Dataset,
    *,
    k: Annotated[int, Ge(2)] = 5,
    fold: NonNegativeInt = 0,
    seed: NonNegativeInt = 0,
    val: Fraction = 0.05,
) -> Split:
    """Cross-validation: `fold` of `k` equal parts drawn by chance is the test part."""
    if fold >= k:
        raise DataError(f"split.fold={fold}: folds are 0 to {k - 1} (split.k={k})")
    order = np.random.default_rng(seed).permutation(len(dataset))
    test = np.array_split(order, k)[fold]
    return _hold_out(dataset, test, seed, val)


def official(
    dataset: Dataset, *, fold: OfficialFold = "u1", seed: NonNegativeInt = 0, val: Fraction = 0.05
) -> Split:
    """The folds that GroupLens names: u1..u5, ua, ub of ml-100k; r1..r5, ra, rb of ml-10m.

    They follow from the order of the ratings file. Number k of the five is the k-th fifth of its lines (what
    a division leaves over joins the last); fold a tests on the first ten ratings of every user, fold b on the
    next ten. That is what the scripts in the archives do (mku.sh, split_ratings.sh, allbut.pl), so the test
    parts equal the archives' own files, and no file has to be read twice.
    """
    if fold not in (known := official_folds(dataset.name)):
        raise DataError(f"split.fold={fold}: {_folds_of(dataset.name, known)}")
    if fold[1] in "ab":
        start = {"a": 0, "b": 10}[fold[1]]
        place = _place_within_user(dataset.users)
        test = np.flatnonzero((place >= start) & (place < start + 10))
    else:
        fifth, number = len(dataset) // 5, int(fold[1])
        stop = len(dataset) if number == 5 else fifth * number
        test = np.arange(fifth * (number - 1), stop)
    return _hold_out(dataset, test, seed, val)


def temporal(dataset: Dataset, *, val: Fraction = 0.1, test: Fraction = 0.1) -> Split:
    """Train on the past: the latest `test` share of all ratings, the `val` share before it, the rest."""
    _need_timestamps(dataset, "temporal")
    order = np.argsort(dataset.timestamps, kind="stable")
    n_test, n_val = round(test * len(dataset)), round(val * len(dataset))
    stop = len(order) - n_test
    part = np.full(len(dataset), TRAIN, dtype=np.int8)
    part[order[stop - n_val : stop]], part[order[stop:]] = VAL, TEST
    return _split_of(part)


def leave_last(dataset: Dataset) -> Split:
    """Test on every user's last rating, validate on the one before; those of fewer than three only train."""
    _need_timestamps(dataset, "leave-last")
    order = np.lexsort((np.arange(len(dataset)), dataset.timestamps, dataset.users))
    from_end = np.empty(len(dataset), dtype=np.int64)
    from_end[order[::-1]] = _place_within_user(dataset.users[order[::-1]])
    enough = np.bincount(dataset.users)[dataset.users] >= 3
    part = np.full(len(dataset), TRAIN, dtype=np.int8)
    part[enough & (from_end == 1)], part[enough & (from_end == 0)] = VAL, TEST
    return _split_of(part)


def new_users(
    dataset: Dataset, *, seed: NonNegativeInt = 0, val: Fraction = 0.1, test: Fraction = 0.1
) -> Split:
    """Test on people the model has never met: a share `test` of the users, with all their ratings.

    Validation is by chance out of the other users' ratings, so that training can be stopped by it.
    """
    order = np.random.default_rng(seed).permutation(len(dataset.user_ids))
    hidden = order[: round(test * len(order))]
    return _hold_out(dataset, np.flatnonzero(np.isin(dataset.users, hidden)), seed, val)


def official_folds(data_name: str) -> tuple[str, ...]:
    """Names of the official folds of a data set; empty where it has none."""
    letter = {"ml-100k": "u", "ml-10m": "r"}.get(data_name)
    return tuple(f"{letter}{end}" for end in "12345ab") if letter else ()


def _folds_of(data_name: str, known: tuple[str, ...]) -> str:
    if known:
        return f"the folds of {data_name} are {', '.join(known)}"
    return f"{data_name} has no official folds (data=ml-100k and data=ml-10m have)"


def _need_timestamps(dataset: Dataset, split: str) -> None:
    if not dataset.has_timestamps:
        unknown = int((np.asarray(dataset.timestamps) <= 0).sum())
        raise DataError(
            f"split={split} needs the time of every rating, but {dataset.name} lacks {unknown} of "
            f"{len(dataset)}. Use split=random or split=kfold"
        )


def _place_within_user(users: NDArray) -> Rows:
    """0 for a user's first row, 1 for the second, and so on."""
    order = np.argsort(users, kind="stable")
    counts = np.bincount(users)
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    place = np.empty(len(users), dtype=np.int64)
    place[order] = np.arange(len(users)) - starts
    return place


def _hold_out(dataset: Dataset, test: Rows, seed: int, val: float) -> Split:
    """Validation by chance out of what the test part leaves; other draws than the test part's."""
    part = np.full(len(dataset), TRAIN, dtype=np.int8)
    part[test] = TEST
    rest = part == TRAIN
    part[rest] = _draw(int(rest.sum()), np.random.default_rng([seed, 1]), val)
    return _split_of(part)


def _draw(n: int, random: np.random.Generator, val: float, test: float = 0) -> Parts:
    """The parts of `n` rows by chance.

    Up to STRETCH rows are shuffled. Of more, every stretch of as many gives its share, and all together
    theirs to the row: what lies in a cache is drawn from many times as fast, and by several cores at once.
    """
    part = np.full(n, TRAIN, dtype=np.int8)
    stretches = max(1, -(-n // STRETCH))
    ends = [n * stretch // stretches for stretch in range(stretches + 1)]

    def draw(start: int, stop: int, random: np.random.Generator) -> None:
        n_test, n_val = (round(share * stop) - round(share * start) for share in (test, val))
        if stretches == 1:  # the draws behind all published figures; a choice shuffles no more than it takes
            order = random.permutation(n)[: n_test + n_val]
        else:
            order = random.choice(stop - start, min(n_test + n_val, stop - start), replace=False)
        rows = part[start:stop]
        rows[order[:n_test]] = TEST
        rows[order[n_test:]] = VAL

    with ThreadPoolExecutor() as pool:
        list(pool.map(draw, ends[:-1], ends[1:], [random, *random.spawn(stretches - 1)]))
    return part


def _split_of(part: Parts) -> Split:
    """The rows of each part. A mask orders them faster than a sort."""
    with ThreadPoolExecutor() as pool:
        return Split(*pool.map(lambda number: np.flatnonzero(part == number), (TRAIN, VAL, TEST)))
