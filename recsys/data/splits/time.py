"""Splits by time: train on the past, test on the future."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from recsys.data.dataset import Dataset
from recsys.data.splits.base import Split, SplitMethod
from recsys.data.splits.draw import TEST, TRAIN, VAL, position_within_user, split_by_labels
from recsys.data.splits.random import check_shares
from recsys.types import Fraction


@dataclass(frozen=True, kw_only=True)
class TemporalSplit(SplitMethod):
    """Test on the latest ratings of all users, and validate on those just before.

    Attributes:
        val: the share of all ratings in the validation set.
        test: the share of all ratings in the test set.
    """

    name: ClassVar[str] = "temporal"
    requires_timestamps: ClassVar[bool] = True
    val: Fraction = 0.1
    test: Fraction = 0.1

    def __call__(self, dataset: Dataset) -> Split:
        """Cut the ratings, sorted by time, into train, validation and test set."""
        self.check_timestamps(dataset)
        order = np.argsort(dataset.timestamps, kind="stable")
        n_test, n_val = round(self.test * len(dataset)), round(self.val * len(dataset))
        stop = len(order) - n_test
        labels = np.full(len(dataset), TRAIN, dtype=np.int8)
        labels[order[stop - n_val : stop]], labels[order[stop:]] = VAL, TEST
        return split_by_labels(labels)

    def check(self, data_name: str | None) -> Iterator[str]:
        """Yield an error message if nothing is left to train on."""
        return check_shares(self.val, self.test)


@dataclass(frozen=True, kw_only=True)
class LeaveLastSplit(SplitMethod):
    """Test on each user's last rating, and validate on the one before it.

    Users with fewer than three ratings are only trained on.
    """

    name: ClassVar[str] = "leave-last"
    requires_timestamps: ClassVar[bool] = True
    min_ratings_per_user: ClassVar[int] = 3

    def __call__(self, dataset: Dataset) -> Split:
        """Take the last two ratings of every user who has enough."""
        self.check_timestamps(dataset)
        order = np.lexsort((np.arange(len(dataset)), dataset.timestamps, dataset.users))
        from_end = np.empty(len(dataset), dtype=np.int64)
        from_end[order[::-1]] = position_within_user(dataset.users[order[::-1]])
        enough = np.bincount(dataset.users)[dataset.users] >= self.min_ratings_per_user
        labels = np.full(len(dataset), TRAIN, dtype=np.int8)
        labels[enough & (from_end == 1)], labels[enough & (from_end == 0)] = VAL, TEST
        return split_by_labels(labels)
