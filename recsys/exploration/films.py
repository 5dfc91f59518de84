"""The most-rated films, and what is known of them."""

import numpy as np
import pandas as pd

from recsys.data.dataset import Dataset
from recsys.data.splits import Rows

NO_GENRE = "(no genres listed)"


def most_rated(dataset: Dataset, train: Rows, top: int) -> pd.DataFrame:
    """The films with the most training ratings, most first, ties by row.

    Returns:
        One line per film, its index the movie row, by which everything else is looked up: title, year
        (missing where unknown), genres ("Drama|War"), ratings (how many in the training part), mean (theirs).
    """
    movies, n = dataset.movies[train], len(dataset.movie_ids)
    counts = np.bincount(movies, minlength=n)
    sums = np.bincount(movies, dataset.ratings[train].astype(np.float64), n)
    rows = np.argsort(-counts, kind="stable")[:top]
    rows = rows[counts[rows] > 0]
    films = dataset.catalogue[["title", "year", "genres"]].iloc[rows].reset_index(drop=True)
    films = films.assign(ratings=counts[rows], mean=sums[rows] / counts[rows])
    return films.set_index(pd.Index(rows, name="row"))


def properties(films: pd.DataFrame, min_films: int = 10) -> pd.DataFrame:
    """What a component is compared with: a column each, a line per film, NaN where unknown.

    Args:
        films: from `most_rated`.
        min_films: genres of fewer films, or of all but fewer, say nothing and are left out.

    Returns:
        mean rating, popularity (natural logarithm of the number of ratings), year, and each genre as 0 or 1,
        the genres by name.
    """
    genres = films["genres"].str.get_dummies("|").drop(columns=NO_GENRE, errors="ignore").astype(float)
    sizes = genres.sum()
    genres = genres.loc[:, (sizes >= min_films) & (sizes <= len(films) - min_films)]
    known = pd.DataFrame(
        {
            "mean rating": films["mean"],
            "popularity": np.log(films["ratings"]),
            "year": films["year"].astype(float),
        }
    )
    return known.join(genres)
