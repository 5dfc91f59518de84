"""A split: which ratings train, validate and test a network."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from recsys.data.dataset import Dataset
from recsys.data.splits import Split, SplitMethod
from recsys.types import PositiveInt

SECONDS_PER_DAY = 86_400


@dataclass(frozen=True)
class LastDays(SplitMethod):
    """Test on the ratings of the last days, and validate on those of the days before.

    Attributes:
        test_days: number of days in the test set.
        val_days: number of days in the validation set.
    """

    name: ClassVar[str] = "last-days"
    requires_timestamps: ClassVar[bool] = True

    test_days: PositiveInt = 30
    val_days: PositiveInt = 30

    def __call__(self, dataset: Dataset) -> Split:
        """Divide the ratings by how many days before the last rating they were given."""
        self.check_timestamps(dataset)
        age = (dataset.timestamps.max() - dataset.timestamps) / SECONDS_PER_DAY
        is_test, is_known = age < self.test_days, age >= self.test_days + self.val_days
        is_val = ~is_test & ~is_known
        train, val, test = (np.flatnonzero(rows) for rows in (is_known, is_val, is_test))
        return Split(train, val, test)
