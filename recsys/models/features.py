"""Feature matrices of items (genres, release year) and users (gender, age, occupation)."""

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from recsys.errors import DataError

YEARS_PER_BIN = 5  # width of the bins of release years and ages
MAX_CATEGORIES = 1000  # per feature; the feature matrix is dense, so more columns could exhaust the memory


def item_features(item_table: pd.DataFrame) -> Tensor:
    """Return `item_feature_table` as a tensor: float32 (n_items, n_item_features)."""
    return torch.from_numpy(item_feature_table(item_table).to_numpy(np.float32))


def item_feature_table(item_table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with one row per item.

    The columns are the genres that occur ("genre Drama"), in alphabetical order, then the bins of years that occur
    ("year_398", from 1990), in ascending order. An item with two genres has 1/2 in each. Bins are one-hot. The columns
    of an unknown genre or year are 0.

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
    return pd.concat([genres, pd.get_dummies(bins.astype("Int64"), prefix="year", dtype=np.float32)], axis=1)


def user_features(user_table: pd.DataFrame) -> Tensor:
    """Return one-hot encoded gender, occupation and bins of the age: float32 (n_users, n_user_features).

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
            f"{name}: {n:,} categories, but a feature can have at most {MAX_CATEGORIES:,}; check the files of the data "
            "set, or use a network without features, such as model=embedding-net"
        )
