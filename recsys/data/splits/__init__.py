"""Splits: which ratings train, validate and test a model.

Each split is an object with options that is called with a dataset and returns a `Split`.
"""

from recsys.data.splits.base import Rows, Split, SplitMethod
from recsys.data.splits.files import FileSplit
from recsys.data.splits.official import OfficialSplit
from recsys.data.splits.random import KFoldSplit, NewItemsSplit, NewUsersSplit, RandomSplit
from recsys.data.splits.time import LeaveLastSplit, TemporalSplit

__all__ = [
    "FileSplit",
    "KFoldSplit",
    "LeaveLastSplit",
    "NewItemsSplit",
    "NewUsersSplit",
    "OfficialSplit",
    "RandomSplit",
    "Rows",
    "Split",
    "SplitMethod",
    "TemporalSplit",
]
