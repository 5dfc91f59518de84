"""Splits whose test set is drawn at random: single ratings, folds, or whole users."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.data.splits.base import Split, SplitMethod
from recsys.data.splits.draw import draw_labels, hold_out, split_by_labels
from recsys.errors import DataError
from recsys.types import Fraction, NonNegativeInt, PositiveInt


def check_shares(val: float, test: float) -> Iterator[str]:
    """Yield an error message if the validation and test set leave no ratings for training."""
    if val + test >= 1:
        yield f"split.val={val} and split.test={test} leave nothing to train on; their sum must be below 1"


@dataclass(frozen=True, kw_only=True)
class RandomSplit(SplitMethod):
    """Assign every rating to train, validation or test set at random.

    Attributes:
        seed: of the draw.
        val: the share of all ratings in the validation set.
        test: the share of all ratings in the test set.
    """

    name: ClassVar[str] = "random"
    seed: NonNegativeInt = 0
    val: Fraction = 0.1
    test: Fraction = 0.1

    def __call__(self, dataset: Dataset) -> Split:
        """Draw the three sets."""
        generator = np.random.default_rng(self.seed)
        return split_by_labels(draw_labels(len(dataset), generator, self.val, self.test))

    def check(self, data_name: str | None) -> Iterator[str]:
        """Yield an error message if nothing is left to train on."""
        return check_shares(self.val, self.test)


@dataclass(frozen=True, kw_only=True)
class KFoldSplit(SplitMethod):
    """Cross-validation: test on one of `k` equal folds that are drawn at random.

    Attributes:
        k: the number of folds.
        fold: the fold to test on, 0 to k-1.
        seed: of the draw of the folds and of the validation set.
        val: the share of the other folds' ratings in the validation set.
    """

    name: ClassVar[str] = "kfold"
    k: Annotated[PositiveInt, Ge(2)] = 5
    fold: NonNegativeInt = 0
    seed: NonNegativeInt = 0
    val: Fraction = 0.05

    def __call__(self, dataset: Dataset) -> Split:
        """Draw the folds, take one as test set, and draw the validation set from the others."""
        for problem in self.check(dataset.name):
            raise DataError(problem)
        order = np.random.default_rng(self.seed).permutation(len(dataset))
        return hold_out(dataset, np.array_split(order, self.k)[self.fold], self.seed, self.val)

    def check(self, data_name: str | None) -> Iterator[str]:
        """Yield an error message if the fold does not exist."""
        if self.fold >= self.k:
            yield f"split.fold={self.fold}: folds are 0 to {self.k - 1} (split.k={self.k})"


@dataclass(frozen=True, kw_only=True)
class _ColdStartSplit(SplitMethod):
    """Test on all ratings of a random share of the users, or of the items, which have no training ratings.

    The validation set is drawn from the other ratings, so early stopping works as usual.

    Attributes:
        seed: of the draw of the users or items, and of the validation set.
        val: the share of the other ratings in the validation set.
        test: the share of all users or items in the test set.
    """

    seed: NonNegativeInt = 0
    val: Fraction = 0.1
    test: Fraction = 0.1

    def check(self, data_name: str | None) -> Iterator[str]:
        """Yield an error message if too little is left to train on."""
        return check_shares(self.val, self.test)

    def _hide(self, index: NDArray, n: int, dataset: Dataset) -> Split:
        """Return the split that hides some of n users or items; `index` has that of each rating."""
        order = np.random.default_rng(self.seed).permutation(n)
        hidden = order[: round(self.test * n)]
        return hold_out(dataset, np.flatnonzero(np.isin(index, hidden)), self.seed, self.val)


@dataclass(frozen=True, kw_only=True)
class NewUsersSplit(_ColdStartSplit):
    """Test on users without training ratings (user cold start); see `_ColdStartSplit`."""

    name: ClassVar[str] = "new-users"

    def __call__(self, dataset: Dataset) -> Split:
        """Draw the users to test on, and draw the validation set from the ratings of the others."""
        return self._hide(dataset.users, len(dataset.user_ids), dataset)


@dataclass(frozen=True, kw_only=True)
class NewItemsSplit(_ColdStartSplit):
    """Test on items without training ratings (item cold start); see `_ColdStartSplit`."""

    name: ClassVar[str] = "new-items"

    def __call__(self, dataset: Dataset) -> Split:
        """Draw the items to test on, and draw the validation set from the ratings of the others."""
        return self._hide(dataset.items, len(dataset.item_ids), dataset)
