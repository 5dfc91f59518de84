"""Features of items and users as numbers."""

import numpy as np
import pandas as pd
import torch
from torch import Tensor

YEARS_PER_BIN = 5  # release years and ages are binned


def item_features(item_table: pd.DataFrame) -> Tensor:
    """Return the numbers of `item_feature_table`: float32 (n_items, n_item_features)."""
    return torch.from_numpy(item_feature_table(item_table).to_numpy(np.float32))


def item_feature_table(item_table: pd.DataFrame) -> pd.DataFrame:
    """Return genres, summing to 1 per item, and one-hot bins of the year, as named columns.

    Columns are the genres that occur, in alphabetical order, then the bins that occur, in temporal order. An
    item without genre or year has zeros there.

    Args:
        item_table: of a `Dataset`; columns genres ("Drama|War") and year (missing where unknown).
    """
    flags = item_table["genres"].str.get_dummies("|")
    genres = flags.drop(columns="", errors="ignore").astype(np.float32)  # "": items without a genre
    genres = genres.div(genres.sum(axis=1).clip(lower=1), axis=0).add_prefix("genre ")
    bins = item_table["year"].astype("Float64") // YEARS_PER_BIN
    return pd.concat([genres, pd.get_dummies(bins, prefix="year", dtype=np.float32)], axis=1)


def user_features(user_table: pd.DataFrame) -> Tensor:
    """Return one-hot gender, occupation and bins of the age: float32 (n_users, n_user_features).

    Args:
        user_table: of a `Dataset`; columns gender, age and occupation as text, empty where unknown.
    """
    known = user_table.replace("", None)
    age = pd.to_numeric(known["age"], errors="coerce").astype("Float64") // YEARS_PER_BIN
    return _concatenated(_one_hot(known["gender"]), _one_hot(known["occupation"]), _one_hot(age))


def _one_hot(values: pd.Series) -> np.ndarray:
    return pd.get_dummies(values).to_numpy(np.float32).reshape(len(values), -1)


def _concatenated(*columns: np.ndarray) -> Tensor:
    return torch.from_numpy(np.concatenate(columns, axis=1))
