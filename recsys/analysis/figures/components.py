"""What the dimensions of item vectors mean: bars of items, a map, correlations."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from recsys.analysis.figures.style import (
    BLUE,
    DIVERGING,
    GREY,
    LIGHT,
    ORANGE,
    new_figure,
    settle,
    short,
    styled,
    zero_line,
)

LABEL = {"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0}  # readable over points
SIDES: list[dict[str, Any]] = [  # of a point, in points
    {"position": (4, 0), "ha": "left", "va": "center"},
    {"position": (-4, 0), "ha": "right", "va": "center"},
    {"position": (0, 4), "ha": "center", "va": "bottom"},
    {"position": (0, -4), "ha": "center", "va": "top"},
]
SHOWN = 12  # names at each end of a ranking


@styled
def plot_extremes(values: pd.Series, label: str, title: str, shown: int = SHOWN) -> Figure:
    """The names with the highest and the lowest values as bars, the highest first.

    Args:
        values: indexed by name.
        label: of the values.
        title: of the figure.
        shown: how many at each end; fewer where there are not twice as many.
    """
    ranked = values.sort_values(ascending=False, kind="stable")
    cut = len(ranked) > 2 * shown
    if cut:
        ranked = pd.concat([ranked[:shown], ranked[-shown:]])
    upper = shown if cut else int((ranked > 0).sum())
    heights = np.arange(len(ranked), dtype=float)
    heights[upper:] += 0.8 * cut  # a gap for what is left out
    figure = new_figure(8, 1 + 0.2 * len(ranked))
    axes = figure.subplots()
    axes.barh(heights, ranked, 0.75, color=[BLUE] * upper + [ORANGE] * (len(ranked) - upper))
    axes.set_yticks(heights, [short(str(name), 44) for name in ranked.index])
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.margins(y=0.01)
    axes.spines["left"].set_visible(False)
    zero_line(axes)
    axes.set_xlabel(label)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return figure


@styled
def plot_map(
    x: pd.Series, y: pd.Series, titles: list[str], axis_labels: Sequence[str], most: int = 70
) -> Figure:
    """Items in the plane of two components; as many labels as find room.

    Args:
        x: scores of one component.
        y: scores of another.
        titles: of the items; the first are labelled first.
        axis_labels: what the two components go with.
        most: labels at the most.
    """
    figure = new_figure(10, 8)
    axes = figure.subplots()
    axes.scatter(x, y, 9, color=LIGHT)
    axes.set(xlabel=axis_labels[0], ylabel=axis_labels[1])
    axes.set_title(f"{len(x):,} most-rated items; the most rated of them are named")
    axes.margins(0.06)
    named = label_points(axes, np.column_stack([x, y]), [short(title, 30) for title in titles], most)
    axes.scatter(x.iloc[named], y.iloc[named], 12, color=BLUE)
    return figure


def label_points(axes: Axes, points: NDArray, labels: list[str], most: int) -> list[int]:
    """Write labels beside points, each where there is room beside the earlier ones, or not at all.

    Right of its point, left, above, below: the first place that is inside the axes and crosses no label and
    no labelled point written before. The figure's layout stands still from here on.

    Args:
        axes: whose limits are settled.
        points: (n, 2), in data coordinates.
        labels: n, in the order in which they are tried.
        most: how many are written.

    Returns:
        Which points have a label.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    renderer = FigureCanvasAgg(figure).get_renderer()
    settle(figure)
    frame = axes.get_window_extent(renderer)
    edges = np.array([frame.x0, frame.y0, frame.x1, frame.y1])
    dots = axes.transData.transform(points)
    dots = np.hstack([dots, dots]) + np.array([-1, -1, 1, 1]) * 3 * figure.dpi / 72
    taken = np.empty((0, 4))  # boxes in pixels: left, bottom, right, top
    named: list[int] = []
    for index, (label, dot) in enumerate(zip(labels, dots, strict=True)):
        if len(named) == most:
            break
        if _crosses(dot, taken):
            continue
        text = axes.annotate(
            label, points[index], (0, 0), textcoords="offset points", fontsize=7.5, bbox=LABEL
        )
        for side in SIDES:
            text.set(**side)
            place = np.array(text.get_window_extent(renderer).extents)
            place += np.array([-1, 0, 1, 0]) * figure.dpi / 36  # two points between two words
            inside = (place[:2] > edges[:2]).all() and (place[2:] < edges[2:]).all()
            if inside and not _crosses(place, taken):
                taken = np.vstack([taken, dot, place])
                named.append(index)
                break
        else:
            text.remove()
    return named


@styled
def plot_correlations(table: pd.DataFrame, heading: Sequence[str]) -> Figure:
    """r of every property with every component; grey where chance alone may have made it (p >= 0.05).

    Args:
        table: from `correlate`.
        heading: what stands over each component's column.
    """
    names = table["property"].unique()
    r = table.pivot(index="property", columns="component", values="r").loc[names]
    p = table.pivot(index="property", columns="component", values="p").loc[names].to_numpy()
    figure = new_figure(3.4 + 0.85 * r.shape[1], 1.6 + 0.27 * len(names))
    axes = figure.subplots()
    image = axes.imshow(r, cmap=DIVERGING, vmin=-1, vmax=1, aspect="auto")
    for (row, column), value in np.ndenumerate(r.to_numpy()):
        sure = p[row, column] < 0.05
        colour = "white" if abs(value) > 0.7 else "black" if sure else GREY
        weight = "bold" if sure else "normal"
        axes.text(
            column, row, f"{value:+.2f}", ha="center", va="center", color=colour, fontsize=8, weight=weight
        )
    axes.set_yticks(range(len(names)), names)
    axes.set_xticks(range(r.shape[1]), heading)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("component and its share of the variance; bold: p < 0.05 among all")
    figure.colorbar(image, label="correlation", shrink=0.7, pad=0.03)
    return figure


def _crosses(box: NDArray, others: NDArray) -> bool:
    return bool(
        (
            (box[0] < others[:, 2])
            & (others[:, 0] < box[2])
            & (box[1] < others[:, 3])
            & (others[:, 1] < box[3])
        ).any()
    )
