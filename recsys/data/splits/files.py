"""The split that the files of the data define."""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np

from recsys.data.dataset import Dataset
from recsys.data.splits.base import Split, SplitMethod
from recsys.data.splits.draw import hold_out
from recsys.errors import DataError
from recsys.types import Fraction, NonNegativeInt


@dataclass(frozen=True, kw_only=True)
class FileSplit(SplitMethod):
    """Take the files of `data.path`, in this order, as training, validation and test set; or as training and test set.

    With two files, the validation set is drawn from the training set.

    Attributes:
        seed: of the draw of the validation set.
        val: the share of the first of two files in the validation set.
    """

    name: ClassVar[str] = "files"
    seed: NonNegativeInt = 0
    val: Fraction = 0.05

    def __call__(self, dataset: Dataset) -> Split:
        """Divide the ratings by file."""
        if len(dataset.parts) not in (2, 3):
            raise DataError(
                f"split=files: needs two or three files in data.path, {max(len(dataset.parts), 1)} given; use "
                "data=table 'data.path=[train.csv,val.csv,test.csv]', or train and test only"
            )
        starts = np.cumsum([0, *dataset.parts])
        rows = [np.arange(start, stop) for start, stop in pairwise(starts)]
        if len(rows) == 3:
            return Split(*rows)
        return hold_out(dataset, rows[1], self.seed, self.val)
