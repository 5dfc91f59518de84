"""Figures of the item vectors: bars of extreme items, a map of items, a table of correlations."""

import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from recsys.analysis.components import SIGNIFICANT
from recsys.analysis.figures.labels import label_points
from recsys.analysis.figures.style import (
    BLUE,
    DIVERGING,
    GREY,
    LIGHT,
    ORANGE,
    new_figure,
    shorten,
    styled,
)


@styled
def plot_extremes(values: pd.Series, label: str, title: str, n: int = 12) -> Figure:
    """Draw the `n` highest and the `n` lowest values as horizontal bars, in descending order.

    Args:
        values: indexed by name; all are drawn if there are at most 2 n.
        label: label of the value axis.
        title: title of the figure.
        n: number of bars at each end.
    """
    ranked = values.sort_values(ascending=False, kind="stable")
    is_cut = len(ranked) > 2 * n
    if is_cut:
        ranked = pd.concat([ranked[:n], ranked[-n:]])
    upper = n if is_cut else int((ranked > 0).sum())
    heights = np.arange(len(ranked), dtype=float)
    heights[upper:] += 0.8 * is_cut  # a gap for the values left out
    figure = new_figure(8, 1 + 0.2 * len(ranked))
    axes = figure.subplots()
    axes.barh(heights, ranked, 0.75, color=[BLUE] * upper + [ORANGE] * (len(ranked) - upper))
    axes.set_yticks(heights, [shorten(str(name), 44) for name in ranked.index])
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.margins(y=0.01)
    axes.spines["left"].set_visible(False)
    axes.axvline(0, color=GREY, linewidth=0.8)
    axes.set_xlabel(label)
    figure.suptitle(textwrap.fill(title, 95), x=0.01, ha="left", fontsize=11)
    return figure


@styled
def plot_map(
    x: pd.Series, y: pd.Series, titles: list[str], axis_labels: Sequence[str], max_labels: int = 70
) -> Figure:
    """Draw items as points in the plane of two components, with as many titles as there is space for.

    Args:
        x: scores of the horizontal component.
        y: scores of the vertical component.
        titles: titles of the items; earlier ones have priority.
        axis_labels: labels of the horizontal and the vertical axis.
        max_labels: maximum number of titles.
    """
    figure = new_figure(10, 8)
    axes = figure.subplots()
    axes.scatter(x, y, 9, color=LIGHT)
    axes.set(xlabel=textwrap.fill(axis_labels[0], 120), ylabel=textwrap.fill(axis_labels[1], 100))
    axes.set_title(f"Map of the {len(x):,} most-rated items; blue: labelled items")
    axes.margins(0.06)
    points = np.column_stack([x, y])
    labelled = label_points(axes, points, [shorten(title, 30) for title in titles], max_labels)
    axes.scatter(x.iloc[labelled], y.iloc[labelled], 12, color=BLUE)
    return figure


@styled
def plot_correlations(table: pd.DataFrame, heading: Sequence[str]) -> Figure:
    """Draw the correlation of every property with every component; grey where it is not significant.

    Args:
        table: from `correlate`.
        heading: one column heading per component.
    """
    names = table["property"].unique()
    r = table.pivot(index="property", columns="component", values="r").loc[names]
    p = table.pivot(index="property", columns="component", values="p").loc[names].to_numpy()
    figure = new_figure(3.4 + 0.85 * r.shape[1], 1.6 + 0.27 * len(names))
    axes = figure.subplots()
    image = axes.imshow(r, cmap=DIVERGING, vmin=-1, vmax=1, aspect="auto")
    for (row, column), value in np.ndenumerate(r.to_numpy()):
        is_significant = p[row, column] < SIGNIFICANT
        axes.text(
            column,
            row,
            f"{value:+.2f}",
            ha="center",
            va="center",
            color="white" if abs(value) > 0.7 else "black" if is_significant else GREY,
            fontsize=8,
            weight="bold" if is_significant else "normal",
        )
    axes.set_yticks(range(len(names)), [shorten(name, 30) for name in names])
    axes.set_xticks(range(r.shape[1]), heading)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel(f"component and share of variance\nbold: p < {SIGNIFICANT} (Holm)")
    figure.colorbar(image, label="correlation", shrink=0.7, pad=0.03)
    return figure
