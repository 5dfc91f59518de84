"""Load and split data with classes that may be the user's own: what they return is checked."""

import numpy as np

from recsys.data.dataset import Dataset
from recsys.data.sources.base import Source
from recsys.data.splits import Split, SplitMethod
from recsys.errors import DataError, type_of


def load_dataset(source: Source) -> Dataset:
    """Return the dataset of a source.

    Raises:
        DataError: the data cannot be read, or `source.load` returns something else.
    """
    dataset = source.load()
    if not isinstance(dataset, Dataset):
        raise DataError(
            f"data: {type(source).__name__}.load must return a Dataset, from recsys.data.dataset.encode, and returns "
            f"{type_of(dataset)}"
        )
    return dataset


def split_dataset(method: SplitMethod, dataset: Dataset) -> Split:
    """Return the split of a dataset.

    Raises:
        DataError: the dataset cannot be split, or the rows are not divided: some are in several sets or in none.
    """
    name = f"split: {type(method).__name__}.__call__"
    split = method(dataset)
    if not isinstance(split, Split):
        raise DataError(f"{name} must return a recsys.data.splits.Split, and returns {type_of(split)}")
    sets = (split.train, split.val, split.test)
    n, is_used = len(dataset), np.zeros(len(dataset), bool)
    for rows in sets:
        if not (
            isinstance(rows, np.ndarray) and rows.ndim == 1 and np.issubdtype(rows.dtype, np.signedinteger)
        ):
            raise DataError(f"{name} must return three one-dimensional NumPy arrays of int64")
        if len(rows) and (rows[0] < 0 or rows[-1] >= n or (rows[1:] <= rows[:-1]).any()):
            raise DataError(
                f"{name}: the row numbers of a set must be strictly ascending, from 0 to {n - 1:,}"
            )
        is_used[rows] = True
    if sum(map(len, sets)) != n or not is_used.all():
        raise DataError(
            f"{name}: each of the {n:,} rows must be in exactly one set; the sets have {sum(map(len, sets)):,} rows, "
            f"of which {int(is_used.sum()):,} are different"
        )
    return split
