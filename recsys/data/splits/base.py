"""The result of a split, and the base class of all ways to make one."""

import dataclasses
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.errors import DataError

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Split:
    """The row numbers of the train, validation and test set, each in ascending order.

    Raises:
        DataError: a set is empty.
    """

    train: Rows
    val: Rows
    test: Rows

    def __post_init__(self) -> None:
        for subset in ("train", "val", "test"):
            if len(getattr(self, subset)) == 0:
                raise DataError(
                    f"split: the {subset} set is empty; change the options of the split, or use more ratings"
                )

    def train_on_validation_set(self) -> "Split":
        """Return a split whose training set also has the rows of the validation set."""
        return Split(np.union1d(self.train, self.val), self.val, self.test)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the three sets: 16 hexadecimal digits, equal on every machine."""
        digest = hashlib.sha256()
        for rows in (self.train, self.val, self.test):
            digest.update(len(rows).to_bytes(8, "little"))
            digest.update(np.ascontiguousarray(rows, "<i8").data)
        return digest.hexdigest()[:16]


class SplitMethod(ABC):
    """Base class of splits: an object with options that divides a dataset into three sets.

    To add a split, derive a frozen dataclass and implement `__call__`. Its fields are the keys of its YAML
    file in conf/split/, and their annotations are the allowed types and ranges. Override `check` if some
    combinations of options cannot work.

    Attributes:
        name: how `describe` calls the split; the name of the class if empty.
        requires_timestamps: whether the time of every rating must be known.
        min_ratings_per_user: the number of ratings that a user needs to be validated and tested on.
    """

    name: ClassVar[str] = ""
    requires_timestamps: ClassVar[bool] = False
    min_ratings_per_user: ClassVar[int] = 1

    @abstractmethod
    def __call__(self, dataset: Dataset) -> Split:
        """Divide the ratings of a dataset into train, validation and test set.

        Every row must be in exactly one set. Equal options and data must give equal sets.

        Raises:
            DataError: the dataset does not meet the requirements of the split, or a set is empty.
        """

    def check(self, data_name: str | None) -> Iterator[str]:
        """Yield an error message for every option that cannot work, before any data is read.

        Args:
            data_name: the name of the data set, such as "ml-100k"; None if it has no name.
        """
        return iter(())

    def describe(self) -> str:
        """Return the name and options that result.json shows, such as "random(seed=0, val=0.1, test=0.1)"."""
        fields: tuple[Any, ...] = dataclasses.fields(self) if dataclasses.is_dataclass(self) else ()
        options = {field.name: getattr(self, field.name) for field in fields} or vars(self)
        return f"{self.name or type(self).__name__}({', '.join(f'{k}={v}' for k, v in options.items())})"

    def check_timestamps(self, dataset: Dataset) -> None:
        """Raise DataError if the split requires timestamps and the dataset does not have them all."""
        if self.requires_timestamps and not dataset.has_timestamps:
            unknown = int((np.asarray(dataset.timestamps) <= 0).sum())
            raise DataError(
                f"split={self.name or type(self).__name__}: requires the time of every rating, but "
                f"{unknown} of {len(dataset)} ratings in {dataset.name} have none; use split=random"
            )
