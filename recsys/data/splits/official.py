"""The train/test folds that GroupLens defines for ml-100k and ml-10m."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from recsys.data.dataset import Dataset
from recsys.data.splits.base import Split, SplitMethod
from recsys.data.splits.draw import hold_out, position_within_user
from recsys.errors import DataError
from recsys.types import Fraction, NonNegativeInt

FOLDS = {
    "ml-100k": ("u1", "u2", "u3", "u4", "u5", "ua", "ub"),
    "ml-10m": ("r1", "r2", "r3", "r4", "r5", "ra", "rb"),
}
Fold = Literal["u1", "u2", "u3", "u4", "u5", "ua", "ub", "r1", "r2", "r3", "r4", "r5", "ra", "rb"]


@dataclass(frozen=True, kw_only=True)
class OfficialSplit(SplitMethod):
    """Test on an official fold: u1..u5, ua, ub of ml-100k; r1..r5, ra, rb of ml-10m.

    The folds follow from the order of the ratings file. Folds 1 to 5 are consecutive fifths of its rows; the
    remainder of the division belongs to the last. Fold a is the first ten ratings of every user, fold b the
    next ten. The scripts in the archives (mku.sh, split_ratings.sh, allbut.pl) do the same, so the test sets
    equal the files in the archives.

    Attributes:
        fold: the fold to test on.
        seed: of the draw of the validation set.
        val: the share of the other ratings in the validation set.
    """

    name: ClassVar[str] = "official"
    fold: Fold = "u1"
    seed: NonNegativeInt = 0
    val: Fraction = 0.05

    def __call__(self, dataset: Dataset) -> Split:
        """Take the fold as test set, and draw the validation set from the other ratings."""
        for problem in self.check(dataset.name):
            raise DataError(problem)
        if self.fold[1] in "ab":
            start = {"a": 0, "b": 10}[self.fold[1]]
            position = position_within_user(dataset.users)
            test = np.flatnonzero((position >= start) & (position < start + 10))
        else:
            fifth, number = len(dataset) // 5, int(self.fold[1])
            stop = len(dataset) if number == 5 else fifth * number
            test = np.arange(fifth * (number - 1), stop)
        return hold_out(dataset, test, self.seed, self.val)

    def check(self, data_name: str | None) -> Iterator[str]:
        """Yield an error message if the data set has no such fold."""
        known = FOLDS.get(data_name or "")
        if known is None:
            having = " and ".join(f"data={name}" for name in FOLDS)
            yield f"split=official with data={data_name}: only {having} have official folds; use split=kfold"
        elif self.fold not in known:
            yield f"split.fold={self.fold}: the folds of {data_name} are {', '.join(known)}"
