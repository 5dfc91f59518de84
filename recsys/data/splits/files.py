"""A split that the files of `data.path` define."""

import logging
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np

from recsys.data.dataset import Dataset
from recsys.data.splits.base import Rows, Split, SplitMethod
from recsys.data.splits.draw import hold_out
from recsys.errors import DataError
from recsys.types import Fraction, NonNegativeInt

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class FileSplit(SplitMethod):
    """Take the files of `data.path`, in this order, as training, validation and test set; or as training and test set.

    With two files, the validation set is drawn from the training set.

    Attributes:
        seed: the seed for drawing the validation set; used with two files only.
        val: with two files, the fraction of the first file that becomes the validation set.
    """

    name: ClassVar[str] = "files"
    seed: NonNegativeInt = 0
    val: Fraction = 0.05

    def __call__(self, dataset: Dataset) -> Split:
        """Divide the ratings by file."""
        if len(dataset.parts) not in (2, 3):
            raise DataError(
                "split=files: needs data=table with two or three files: 'data.path=[train.csv,val.csv,test.csv]' or "
                "'data.path=[train.csv,test.csv]'"
            )
        starts = np.cumsum([0, *dataset.parts])
        rows = [np.arange(start, stop) for start, stop in pairwise(starts)]
        for name, held_out in zip(("test", "validation"), reversed(rows[1:]), strict=False):
            _warn_if_nothing_in_common(dataset, rows[0], held_out, name)
        if len(rows) == 3:
            return Split(*rows)
        return hold_out(dataset, rows[1], self.seed, self.val)


def _warn_if_nothing_in_common(dataset: Dataset, train: Rows, held_out: Rows, name: str) -> None:
    """Warn if two files have no user or no item in common, perhaps because their ids are written differently."""
    for side, indices in (("user", dataset.users), ("item", dataset.items)):
        if not np.isin(indices[held_out], indices[train]).any():
            log.warning(
                "split=files: no %s of the %s file occurs in the training file; unless this is intended, check how "
                "the files write their ids (001 is not 1 if some ids are text)",
                side,
                name,
            )
