"""Several rows with the same user and item: repeated interactions, or ratings that were changed."""

from typing import Literal

import numpy as np
import pandas as pd

Duplicates = Literal["error", "count", "last"]


def combine(table: pd.DataFrame, how: Duplicates) -> pd.DataFrame:
    """Return a table with one row for each user and item: the last one by time, or by position where times are equal.

    Args:
        table: columns user, item, rating, timestamp.
        how: "count" replaces the rating by the number of rows; "last" keeps that of the last row; "error" changes
            nothing, because the reader has refused such rows.
    """
    pair = ["user", "item"]
    if how == "error" or not table.duplicated(pair).any():
        return table
    last = table.sort_values("timestamp", kind="stable").drop_duplicates(pair, keep="last").sort_index()
    if how == "count":
        counts = table.groupby(pair, sort=False).size().rename("count").reset_index()
        last = last.merge(counts, on=pair, how="left")
        last["rating"] = last.pop("count").astype(np.float32)
    return last.reset_index(drop=True)
