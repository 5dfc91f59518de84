"""The most-rated items, and what is known of them."""

import numpy as np
import pandas as pd

from recsys.data.dataset import Dataset
from recsys.data.splits import Rows

NO_GENRE = "(no genres listed)"


def most_rated(dataset: Dataset, train: Rows, top: int) -> pd.DataFrame:
    """The items with the most training ratings, most first, ties by row.

    Returns:
        One line per item, its index the item row, by which everything else is looked up: title, year
        (missing where unknown), genres ("Drama|War"), ratings (how many in the training part), mean (theirs).
    """
    items, n = dataset.items[train], len(dataset.item_ids)
    counts = np.bincount(items, minlength=n)
    sums = np.bincount(items, dataset.ratings[train].astype(np.float64), n)
    rows = np.argsort(-counts, kind="stable")[:top]
    rows = rows[counts[rows] > 0]
    items = dataset.item_table[["title", "year", "genres"]].iloc[rows].reset_index(drop=True)
    items = items.assign(ratings=counts[rows], mean=sums[rows] / counts[rows])
    return items.set_index(pd.Index(rows, name="row"))


def properties(items: pd.DataFrame, min_films: int = 10) -> pd.DataFrame:
    """What a component is compared with: a column each, a line per item, NaN where unknown.

    Args:
        items: from `most_rated`.
        min_films: genres of fewer items, or of all but fewer, say nothing and are left out.

    Returns:
        mean rating, popularity (natural logarithm of the number of ratings), year, and each genre as 0 or 1,
        the genres by name.
    """
    genres = items["genres"].str.get_dummies("|").drop(columns=NO_GENRE, errors="ignore").astype(float)
    sizes = genres.sum()
    genres = genres.loc[:, (sizes >= min_films) & (sizes <= len(items) - min_films)]
    known = pd.DataFrame(
        {
            "mean rating": items["mean"],
            "popularity": np.log(items["ratings"]),
            "year": items["year"].astype(float),
        }
    )
    return known.join(genres)
