"""Feature matrices of items and users: those of the dataset, or made of the columns of MovieLens."""

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from recsys.data.dataset import Dataset
from recsys.data.features import MAX_CATEGORIES, MAX_CELLS
from recsys.errors import DataError

YEARS_PER_BIN = 5  # width of the bins of release years and ages


def item_features(dataset: Dataset) -> Tensor:
    """Return the features of the items, or else those of `item_feature_table`: float32 (n_items, n_item_features)."""
    if dataset.item_features is not None:
        return torch.from_numpy(dataset.item_features.values)
    return torch.from_numpy(item_feature_table(dataset.item_table).to_numpy(np.float32))


def item_feature_table(item_table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with one row per item.

    The columns are the genres that occur ("genre Drama"), in alphabetical order, then the bins of years that occur
    ("year_398", from 1990), in ascending order. An item with two genres has 1/2 in each. Bins are one-hot. The columns
    of an unknown genre or year are 0.

    Args:
        item_table: of a `Dataset`; columns genres ("Drama|War") and year (missing where unknown).

    Raises:
        DataError: there are too many genres or year bins.
    """
    each = item_table["genres"].reset_index(drop=True).str.split("|").explode()
    codes, names = pd.factorize(each[each != ""], sort=True)
    _check_number("genres", len(names), len(item_table))
    genres = np.zeros((len(item_table), len(names)), np.float32)
    genres[each[each != ""].index, codes] = 1
    genres /= np.maximum(genres.sum(1, keepdims=True), 1)
    of_genres = pd.DataFrame(genres, item_table.index, [f"genre {name}" for name in names])
    bins = item_table["year"].astype("Float64") // YEARS_PER_BIN
    _check_number("years", bins.nunique(), len(bins))
    return pd.concat(
        [of_genres, pd.get_dummies(bins.astype("Int64"), prefix="year", dtype=np.float32)], axis=1
    )


def user_features(dataset: Dataset) -> Tensor:
    """Return the features of the users: float32 (n_users, n_user_features).

    If the dataset has none, they are one-hot encoded gender, occupation and bins of the age.

    Raises:
        DataError: one of these has too many values.
    """
    if dataset.user_features is not None:
        return torch.from_numpy(dataset.user_features.values)
    user_table = dataset.user_table
    known = user_table.replace("", None)
    age = pd.to_numeric(known["age"], errors="coerce").astype("Float64") // YEARS_PER_BIN
    columns = {"gender": known["gender"], "occupation": known["occupation"], "age": age}
    return torch.from_numpy(
        np.concatenate([_one_hot(name, values) for name, values in columns.items()], axis=1)
    )


def _one_hot(name: str, values: pd.Series) -> np.ndarray:
    _check_number(name, values.nunique(), len(values))
    return pd.get_dummies(values).to_numpy(np.float32).reshape(len(values), -1)


def _check_number(name: str, n: int, n_rows: int) -> None:
    if n > MAX_CATEGORIES or n * n_rows > MAX_CELLS:
        raise DataError(
            f"{name}: {n:,} categories, but a feature of {n_rows:,} items or users can have at most "
            f"{min(MAX_CATEGORIES, MAX_CELLS // n_rows):,}; check the files of the data set, or use a network without "
            "features, such as model=embedding-net"
        )
