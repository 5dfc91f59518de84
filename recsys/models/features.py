"""What is known of a item or of a person besides ratings, as numbers."""

import numpy as np
import pandas as pd
import torch
from torch import Tensor

YEARS_TOGETHER = 5


def item_features(catalogue: pd.DataFrame) -> Tensor:
    """Genres, each item's summing to 1, and the five years it is of: float32 (n_items, n_item_features).

    Genres and years are those that occur, in alphabetical and in temporal order; a item without any has
    zeros there.

    Args:
        catalogue: of a `Dataset`: columns genres ("Drama|War") and year (missing where unknown).
    """
    flags = catalogue["genres"].str.get_dummies("|")
    genres = flags.drop(columns="", errors="ignore").to_numpy(np.float32)  # of items without a genre
    genres = genres / np.maximum(genres.sum(1, keepdims=True), 1)
    return _joined(genres, _one_hot(catalogue["year"].astype("Float64") // YEARS_TOGETHER))


def user_features(people: pd.DataFrame) -> Tensor:
    """Gender, occupation, and the five years of age: float32 (n_users, n_user_features).

    Args:
        people: of a `Dataset`: columns gender, age and occupation, as text; empty where unknown.
    """
    known = people.replace("", None)
    age = pd.to_numeric(known["age"], errors="coerce").astype("Float64") // YEARS_TOGETHER
    return _joined(_one_hot(known["gender"]), _one_hot(known["occupation"]), _one_hot(age))


def _one_hot(values: pd.Series) -> np.ndarray:
    return pd.get_dummies(values).to_numpy(np.float32).reshape(len(values), -1)


def _joined(*columns: np.ndarray) -> Tensor:
    return torch.from_numpy(np.concatenate(columns, axis=1))
