"""Non-overlapping labels for the points of a plot."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from numpy.typing import NDArray

from recsys.analysis.figures.style import fix_layout

BACKGROUND = {"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0}  # readable over points
# Offsets from the point in pt (1/72 inch); `position` of an annotation is its offset.
SIDES: list[dict[str, Any]] = [
    {"position": (4, 0), "ha": "left", "va": "center"},
    {"position": (-4, 0), "ha": "right", "va": "center"},
    {"position": (0, 4), "ha": "center", "va": "bottom"},
    {"position": (0, -4), "ha": "center", "va": "top"},
]
MARKER = 3  # half the width that is kept free around a labelled point, in pt
GAP = 2  # free space on the left and right of each label, in pt


def label_points(axes: Axes, points: NDArray, labels: list[str], max_labels: int) -> list[int]:
    """Label points in the given order, and skip labels for which there is no space.

    The right, left, upper and lower side of a point are tried in this order. A label must be inside the axes
    and must not overlap earlier labels or labelled points; a point that an earlier label covers is skipped. The
    layout of the figure is fixed afterwards, so that the labels keep their places.

    Args:
        axes: its limits must be final.
        points: (n, 2), in data coordinates.
        labels: n labels; earlier ones have priority.
        max_labels: maximum number of labels.

    Returns:
        The indices of the labelled points.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    renderer = FigureCanvasAgg(figure).get_renderer()
    fix_layout(figure)
    pixels_per_pt = figure.dpi / 72
    frame = axes.get_window_extent(renderer)
    edges = np.array([frame.x0, frame.y0, frame.x1, frame.y1])
    centres = axes.transData.transform(points)
    markers = np.hstack([centres, centres]) + np.array([-1, -1, 1, 1]) * MARKER * pixels_per_pt
    taken = np.empty((0, 4))  # boxes in pixels: left, bottom, right, top
    labelled: list[int] = []
    for index, (label, marker) in enumerate(zip(labels, markers, strict=True)):
        if len(labelled) == max_labels:
            break
        if _overlaps(marker, taken):
            continue
        text = axes.annotate(
            label, points[index], (0, 0), textcoords="offset points", fontsize=7.5, bbox=BACKGROUND
        )
        for side in SIDES:
            text.set(**side)
            box = np.array(text.get_window_extent(renderer).extents)
            box += np.array([-1, 0, 1, 0]) * GAP * pixels_per_pt
            is_inside = (box[:2] > edges[:2]).all() and (box[2:] < edges[2:]).all()
            if is_inside and not _overlaps(box, taken):
                taken = np.vstack([taken, marker, box])
                labelled.append(index)
                break
        else:
            text.remove()
    return labelled


def _overlaps(box: NDArray, others: NDArray) -> bool:
    left, bottom, right, top = others.T
    overlaps = (box[0] < right) & (left < box[2]) & (box[1] < top) & (bottom < box[3])
    return bool(overlaps.any())
