"""Conversion of text ids to integers, if all of them are integers."""

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray


def integer_ids(ids: pa.Array) -> NDArray[np.int64] | None:
    """Return text ids as integers, or None if any is not an int64 in its usual spelling ("007" is not)."""
    try:
        integers = ids.cast(pa.int64())
    except pa.ArrowInvalid:
        return None
    return integers.to_numpy() if integers.cast(pa.string()).equals(ids) else None


def to_integers_if_possible(ids: pd.Series) -> pd.Series:
    """Return a column of text ids as integers; as it is if any is not an integer, see `integer_ids`."""
    codes, distinct = pd.factorize(ids.to_numpy(object))
    integers = integer_ids(pa.array(distinct, pa.string()))
    return ids if integers is None else pd.Series(integers[codes])
