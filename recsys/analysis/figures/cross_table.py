"""Cross-table of the ratings, or the numbers of interactions, of the most active users for the most frequent items."""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from recsys.analysis.figures.style import new_figure, shorten, styled
from recsys.data.dataset import Dataset


def cross_table(dataset: Dataset, n: int = 15) -> tuple[NDArray, NDArray, NDArray]:
    """Return the ratings, or the numbers of interactions, of the `n` most active users for the `n` most frequent items.

    Returns:
        (values, users, items): (n, n), NaN where there is no row; user indices (n,); item indices (n,).
        Both are in descending order of the number of rows; ties by index.
    """
    users = _most_frequent(dataset.users, n)
    items = _most_frequent(dataset.items, n)
    row_of_user = np.full(len(dataset.user_ids), -1)
    column_of_item = np.full(len(dataset.item_ids), -1)
    row_of_user[users], column_of_item[items] = np.arange(len(users)), np.arange(len(items))
    rows, columns = row_of_user[dataset.users], column_of_item[dataset.items]
    is_shown = (rows >= 0) & (columns >= 0)
    values = np.full((len(users), len(items)), np.nan)
    values[rows[is_shown], columns[is_shown]] = dataset.ratings[is_shown]
    return values, users, items


@styled
def plot_cross_table(dataset: Dataset, n: int = 15) -> Figure:
    """Draw the cross-table as a coloured grid with one row per user and one column per item."""
    values, users, items = cross_table(dataset, n)
    figure = new_figure(10, 8)
    axes = figure.subplots()
    low, high = dataset.scale if dataset.has_ratings else (0.0, np.nanmax(values, initial=1.0))
    image = axes.imshow(values, cmap="viridis", vmin=low, vmax=high)
    middle = (low + high) / 2
    for (row, column), value in np.ndenumerate(values):
        if not np.isnan(value):
            colour = "white" if value < middle else "black"
            axes.text(column, row, f"{value:.3g}", ha="center", va="center", color=colour)
    titles = [shorten(title, 34) for title in dataset.item_table["title"].iloc[items]]
    axes.set_xticks(range(len(items)), titles, rotation=60, ha="right", rotation_mode="anchor", fontsize=8)
    names = [shorten(str(user_id), 34) for user_id in dataset.user_ids.to_ids(users)]
    axes.set_yticks(range(len(users)), names, fontsize=8)
    axes.spines[:].set_visible(False)
    kind = "most-rated" if dataset.has_ratings else "most frequent"
    axes.set_xlabel(f"item ({kind} first)")
    axes.set_ylabel("user (most active first)")
    what = "ratings" if dataset.has_ratings else "interactions"
    axes.set_title(f"{dataset.name}: {what} of the most active users for the {kind} items")
    figure.colorbar(image, label="rating" if dataset.has_ratings else "number of interactions", shrink=0.8)
    return figure


def _most_frequent(indices: NDArray[np.int32], n: int) -> NDArray[np.int64]:
    counts = np.bincount(indices)
    return np.argsort(-counts, kind="stable")[:n]
