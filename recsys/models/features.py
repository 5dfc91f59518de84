"""Features of items and users as numbers."""

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from recsys.errors import DataError

YEARS_PER_BIN = 5  # release years and ages are binned
MAX_CATEGORIES = 1000  # of one feature; the table of features is dense, so more of them would fill the memory


def item_features(item_table: pd.DataFrame) -> Tensor:
    """Return the numbers of `item_feature_table`: float32 (n_items, n_item_features)."""
    return torch.from_numpy(item_feature_table(item_table).to_numpy(np.float32))


def item_feature_table(item_table: pd.DataFrame) -> pd.DataFrame:
    """Return genres, summing to 1 per item, and one-hot bins of the year, as named columns.

    Columns are the genres that occur, in alphabetical order, then the bins that occur, in temporal order. An
    item without genre or year has zeros there.

    Args:
        item_table: of a `Dataset`; columns genres ("Drama|War") and year (missing where unknown).

    Raises:
        DataError: there are more than `MAX_CATEGORIES` genres or year bins.
    """
    _check_number("genres", item_table["genres"].str.split("|").explode().replace("", None).nunique())
    flags = item_table["genres"].str.get_dummies("|")
    genres = flags.drop(columns="", errors="ignore").astype(np.float32)  # "": items without a genre
    genres = genres.div(genres.sum(axis=1).clip(lower=1), axis=0).add_prefix("genre ")
    bins = item_table["year"].astype("Float64") // YEARS_PER_BIN
    _check_number("years", bins.nunique())
    return pd.concat([genres, pd.get_dummies(bins, prefix="year", dtype=np.float32)], axis=1)


def user_features(user_table: pd.DataFrame) -> Tensor:
    """Return one-hot gender, occupation and bins of the age: float32 (n_users, n_user_features).

    Args:
        user_table: of a `Dataset`; columns gender, age and occupation as text, empty where unknown.

    Raises:
        DataError: there are more than `MAX_CATEGORIES` values of one of them.
    """
    known = user_table.replace("", None)
    age = pd.to_numeric(known["age"], errors="coerce").astype("Float64") // YEARS_PER_BIN
    columns = {"gender": known["gender"], "occupation": known["occupation"], "age": age}
    return torch.from_numpy(
        np.concatenate([_one_hot(name, values) for name, values in columns.items()], axis=1)
    )


def _one_hot(name: str, values: pd.Series) -> np.ndarray:
    _check_number(name, values.nunique())
    return pd.get_dummies(values).to_numpy(np.float32).reshape(len(values), -1)


def _check_number(name: str, n: int) -> None:
    if n > MAX_CATEGORIES:
        raise DataError(
            f"{name}: {n:,} different values, but features can have at most {MAX_CATEGORIES:,}; use a network without "
            "features (model.user.features=false model.item.features=false), or check the files of the data set"
        )
