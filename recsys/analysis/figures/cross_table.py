"""Who rated what: the most active users and the most rated items."""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from recsys.data.dataset import Dataset


def cross_table(dataset: Dataset, n: int = 15) -> tuple[NDArray, NDArray, NDArray]:
    """Ratings that the most active users gave to the most rated items, as in the 2018 article.

    Returns:
        (values, users, items): ratings (n, n), NaN where there is none; user rows (n,); item rows (n,).
        Most ratings first, ties by row.
    """
    users = _most_frequent(dataset.users, n)
    items = _most_frequent(dataset.items, n)
    place_of_user = np.full(len(dataset.user_ids), -1)
    place_of_item = np.full(len(dataset.item_ids), -1)
    place_of_user[users], place_of_item[items] = np.arange(len(users)), np.arange(len(items))
    row, column = place_of_user[dataset.users], place_of_item[dataset.items]
    shown = (row >= 0) & (column >= 0)
    values = np.full((len(users), len(items)), np.nan)
    values[row[shown], column[shown]] = dataset.ratings[shown]
    return values, users, items


def plot_cross_table(dataset: Dataset, n: int = 15) -> Figure:
    """The cross-table as a coloured grid: users downwards, items to the right."""
    values, users, items = cross_table(dataset, n)
    figure = Figure(figsize=(10, 8), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(values, cmap="viridis", vmin=dataset.scale[0], vmax=dataset.scale[1])
    for (row, column), value in np.ndenumerate(values):
        if not np.isnan(value):
            middle = sum(dataset.scale) / 2
            axes.text(
                column, row, f"{value:g}", ha="center", va="center", color="w" if value < middle else "k"
            )
    titles = [
        title if len(title) <= 34 else title[:31] + "..." for title in dataset.item_table["title"].iloc[items]
    ]
    axes.set_xticks(range(len(items)), titles, rotation=60, ha="right", rotation_mode="anchor", fontsize=8)
    axes.set_yticks(range(len(users)), [str(id) for id in dataset.user_ids.to_ids(users)], fontsize=8)
    axes.set_ylabel("user, most ratings first")
    axes.set_title(f"{dataset.name}: the most active users and the most rated items")
    figure.colorbar(image, label="rating", shrink=0.8)
    return figure


def _most_frequent(rows: NDArray[np.int32], n: int) -> NDArray[np.int64]:
    counts = np.bincount(rows)
    return np.argsort(-counts, kind="stable")[:n]
