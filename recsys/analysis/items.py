"""The most-rated items, or those with the most interactions, and their known properties."""

import numpy as np
import pandas as pd

from recsys.data.dataset import Dataset
from recsys.data.features import FeatureMatrix
from recsys.data.splits import Rows


def most_rated(dataset: Dataset, train: Rows, top: int) -> pd.DataFrame:
    """Return the items with the most training ratings or interactions, in descending order; ties by item index.

    Args:
        dataset: the rows and the item table.
        train: rows of the training set.
        top: maximum number of items; items without training rows are left out.

    Returns:
        One row per item, indexed by `item_index`, with the columns title, year (missing where unknown),
        genres ("Drama|War"), rows (number of training rows) and, for data with ratings, mean (their mean).
    """
    rated, n_items = dataset.items[train], len(dataset.item_ids)
    counts = np.bincount(rated, minlength=n_items)
    chosen = np.argsort(-counts, kind="stable")[:top]
    chosen = chosen[counts[chosen] > 0]
    items = dataset.item_table[["title", "year", "genres"]].iloc[chosen].reset_index(drop=True)
    items = items.assign(rows=counts[chosen])
    if dataset.has_ratings:
        sums = np.bincount(rated, dataset.ratings[train].astype(np.float64), n_items)
        items = items.assign(mean=sums[chosen] / counts[chosen])
    return items.set_index(pd.Index(chosen, name="item_index"))


def properties(items: pd.DataFrame, min_items: int = 10) -> pd.DataFrame:
    """Return the properties that components are correlated with.

    Args:
        items: from `most_rated`.
        min_items: a genre is left out if fewer items than this have it, or fewer than this lack it.

    Returns:
        One row per item and one column per property, NaN where unknown: mean rating (for data with ratings),
        popularity (natural logarithm of the number of training rows), year, and each genre as 0 or 1 in
        alphabetical order. A genre with the name of one of the others is "genre year".
    """
    genres = items["genres"].str.get_dummies("|").astype(float)
    sizes = genres.sum()
    genres = genres.loc[:, (sizes >= min_items) & (sizes <= len(items) - min_items)]
    mean = {"mean rating": items["mean"]} if "mean" in items else {}
    numbers = pd.DataFrame({**mean, "popularity": np.log(items["rows"]), "year": items["year"].astype(float)})
    genres = genres.rename(columns={name: f"genre {name}" for name in numbers})
    return numbers.join(genres)


def feature_properties(features: FeatureMatrix, items: pd.DataFrame, min_items: int = 10) -> pd.DataFrame:
    """Return features from a table of items as further properties, without the dimensions of vectors.

    Args:
        features: of all items by item index.
        items: from `most_rated`.
        min_items: a category is left out if fewer items than this have it, or fewer than this lack it.

    Returns:
        One row per item and one column per feature, such as "price" and "brand=Acme". Genres and year are among
        `properties` already.
    """
    table = pd.DataFrame(features.values[items.index].astype(float), items.index, features.names)
    known = [name for name in features.names if not name.startswith(("genres=", "year")) and name[-1] != "]"]
    sizes = {name: int((table[name] != 0).sum()) for name in known}
    rare = [name for name in known if "=" in name and not min_items <= sizes[name] <= len(items) - min_items]
    return table[known].drop(columns=rare)
