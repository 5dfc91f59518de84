"""What the figures of a leaderboard share: escaped texts, texts under the mouse pointer, error bars and axes.

Plotly reads a subset of HTML in every text, so every text of a run passes through `plain`. Templates such as
`hovertemplate`, where %{...} has a meaning, are not used.
"""

import html
import math
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Literal

import plotly.graph_objects as go

from recsys.leaderboard.board import Board
from recsys.leaderboard.ranking import Configuration
from recsys.leaderboard.values import Axis, prefers_log
from recsys.terminal import visible

BLUE, ORANGE, GRAY = "#5b8fc7", "#f58518", "#8a8f98"  # readable on a light and on a dark background
# Of a label next to a point, as a share of the axis of a figure that is about 500 pixels wide.
LABEL_WIDTH, LABEL_HEIGHT = 0.018, 0.06  # the width is per character
MAX_LABEL = 24  # characters; the whole text is shown for the point under the mouse pointer


def plain(text: str) -> str:
    """Return text that plotly shows as it is, with control characters shown and HTML escaped."""
    return html.escape(visible(text), quote=False)


def shorten(text: str) -> str:
    """Return a label of limited length, escaped as by `plain`."""
    return plain(text if len(text) <= MAX_LABEL else f"{text[: MAX_LABEL - 1]}…")


def hover(lines: Iterable[Sequence[str]]) -> dict[str, Any]:
    """Return the arguments of a trace that show lines of text for the point under the mouse pointer."""
    return {"hoverinfo": "text", "hovertext": ["<br>".join(map(plain, own)) for own in lines]}


def errors(
    board: Board, configurations: Sequence[Configuration], color: str | None = None
) -> dict[str, Any] | None:
    """Return error bars of one standard deviation over the runs; None if every configuration has a single run.

    Args:
        board: the leaderboard.
        configurations: the points.
        color: None for the color of the points.
    """
    deviations = [own.deviation(board.metric) for own in configurations]
    return {"array": deviations, "color": color} if any(deviations) else None


def error_note(board: Board) -> str:
    """Return the sentence that explains the error bars, if there are any."""
    has_errors = any(len(own.runs) > 1 for own in board.configurations)
    return "Error bars: one standard deviation over the runs." if has_errors else ""


def add_best(figure: go.Figure, board: Board, x: float) -> None:
    """Mark the best configuration with a star and its value."""
    y = board.best.mean(board.metric)
    figure.add_scatter(
        x=[x],
        y=[y],
        mode="markers",
        marker={"symbol": "star", "size": 15, "color": ORANGE},
        name=f"best: {y:.4f}",
        **hover([board.details(board.best)]),
    )


def fitting_labels(texts: Sequence[str], x: Sequence[float], y: Sequence[float]) -> list[str]:
    """Return the labels of points, without those that would overlap an earlier one.

    Args:
        texts: the labels, the most important one first; "" for none.
        x: positions of the points, from 0 to 1 along the axis.
        y: likewise.

    Returns:
        One label per point, escaped; "" for those left out.
    """
    labels, placed = [], list[tuple[float, float, int]]()
    for text, a, b in zip(map(shorten, texts), x, y, strict=True):
        fits = all(
            abs(a - c) > LABEL_WIDTH * (len(text) + size) / 2 or abs(b - d) > LABEL_HEIGHT
            for c, d, size in placed
        )
        labels.append(text if fits else "")
        if text and fits:
            placed.append((a, b, len(text)))
    return labels


def label_positions(labels: Sequence[str], x: Sequence[float], side: Literal["top", "bottom"]) -> list[str]:
    """Return where plotly puts each label: centred, but next to a point at an edge, where it would be cut.

    Args:
        labels: from `fitting_labels`.
        x: positions of the points, from 0 to 1 along the axis.
        side: whether labels are above or below their points.
    """
    halves = [LABEL_WIDTH * len(text) / 2 for text in labels]
    return [
        f"{side} {'right' if a < half else 'left' if 1 - a < half else 'center'}"
        for a, half in zip(x, halves, strict=True)
    ]


def add_label(figure: go.Figure, x: float, y: float, text: str, anchor: Literal["left", "right"]) -> None:
    """Add an escaped text that starts to the right of a point (anchor "left") or ends to the left of it ("right")."""
    shift = -8 if anchor == "right" else 8
    figure.add_annotation(x=x, y=y, text=text, xanchor=anchor, xshift=shift, showarrow=False, borderpad=1)


def tick_labels(labels: Iterable[tuple[str, float]]) -> dict[str, Any]:
    """Return the part of an axis that labels positions."""
    texts, positions = zip(*labels, strict=True)
    return {"ticktext": [shorten(text) for text in texts], "tickvals": positions}


def value_axis(axis: Axis, title: str) -> dict[str, Any]:
    """Return the axis for the values of a key."""
    layout = number_axis(axis.positions.values()) if axis.kind == "numbers" else {}
    if not axis.is_continuous:
        layout |= tick_labels(axis.positions.items())
    return layout | {"title": plain(title)}


def number_axis(numbers: Collection[float]) -> dict[str, Any]:
    """Return the axis for numbers: with SI prefixes from 1000 on, such as 20k."""
    tick_format = {"tickformat": "~s" if max(numbers) >= 1000 else "~g"}
    if not prefers_log(numbers):
        return tick_format
    # Ticks at 1, 2 and 5, or at powers of ten only: by default, labels overlap.
    return tick_format | {"type": "log", "dtick": "D2" if max(numbers) / min(numbers) < 100 else 1}


def pareto_front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the Pareto front of points (cost, error), sorted by cost."""
    front: list[tuple[float, float]] = []
    for point in sorted(points):
        if not front or point[1] < front[-1][1]:
            front.append(point)
    return front


def padded_range(
    numbers: Collection[float], padding: tuple[float, float], is_log: bool = False
) -> list[float]:
    """Return the range of an axis for numbers, as plotly expects it: logarithms for a logarithmic axis.

    Args:
        numbers: the positions of points.
        padding: the room before and after them, as shares of their range.
        is_log: whether the axis is logarithmic.
    """
    low, high = (math.log10(end) if is_log else end for end in (min(numbers), max(numbers)))
    span = (high - low) or 1.0
    return [low - padding[0] * span, high + padding[1] * span]


def objective_axis(board: Board) -> dict[str, Any]:
    """Return the axis for the objective."""
    return {"title": plain(f"{board.metric} ({board.direction})")}


def lay_out(figure: go.Figure, xaxis: dict[str, Any], yaxis: dict[str, Any], height: int = 380) -> None:
    """Set axes and size of a figure. The script of the page adds the colors of the light or dark theme.

    Args:
        figure: is changed.
        xaxis: the horizontal axis.
        yaxis: the vertical axis.
        height: in pixels.
    """
    figure.update_layout(
        template="none",
        height=height,
        margin={"l": 10, "r": 20, "t": 10, "b": 10},  # axes add the room that their labels need
        hovermode="closest",
        hoverlabel={"align": "left"},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
        xaxis=xaxis,
        yaxis=yaxis,
    )
