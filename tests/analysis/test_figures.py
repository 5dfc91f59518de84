import re
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from recsys.analysis.figures.components import plot_correlations, plot_extremes
from recsys.analysis.figures.cross_table import cross_table, plot_cross_table
from recsys.analysis.figures.labels import label_points
from recsys.analysis.figures.style import fix_layout, shorten, to_files
from recsys.data.dataset import Dataset


def is_inside(figure: Figure) -> bool:
    """Return whether no element of the figure is cut off."""
    fix_layout(figure)
    box = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    return box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height


def test_labels_do_not_overlap_and_are_inside_the_axes() -> None:
    axes = Figure(figsize=(6, 5), dpi=130, layout="constrained").subplots()
    points = np.random.default_rng(1).normal(size=(300, 2))
    axes.scatter(*points.T)
    labels = [f"An Item With a Name {k}" for k in range(300)]
    labelled = label_points(axes, points, labels, 40)
    assert labelled[0] == 0, "the first label has priority"
    assert 10 < len(labelled) <= 40
    boxes = [text.get_window_extent() for text in axes.texts]
    assert [text.get_text() for text in axes.texts] == [labels[index] for index in labelled]
    frame = axes.get_window_extent()
    for k, box in enumerate(boxes):
        assert frame.x0 <= box.x0 < box.x1 <= frame.x1
        assert frame.y0 <= box.y0 < box.y1 <= frame.y1
        assert not any(box.overlaps(other) for other in boxes[:k])


def test_control_characters_in_titles_are_shown() -> None:
    """XML has no control characters, not even escaped ones."""
    title = "a\x1b[31m\x07\x9b\u202e\ufffe <b>"
    figure = plot_extremes(pd.Series(np.arange(4.0), [f"{title}{k}" for k in range(4)]), "score", title, 2)
    svg = to_files(figure)[1]
    assert ElementTree.fromstring(svg).tag.endswith("svg")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\ufffe]", svg)


def test_bars_show_the_highest_and_the_lowest_values() -> None:
    values = pd.Series(np.arange(40.0) - 20, [f"Item $ {k} $" for k in range(40)])
    figure = plot_extremes(values, "score", "a long title " * 12, 3)
    shown = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert shown == [f"Item $ {k} $" for k in (39, 38, 37, 2, 1, 0)]
    assert is_inside(figure)
    assert len(plot_extremes(values[:4], "score", "title", 3).axes[0].patches) == 4


@pytest.mark.parametrize("components", [1, 6])
def test_correlations_are_not_cut_off(components: int) -> None:
    names = ["mean rating", "a property with a name that is much too long for a label"]
    table = pd.DataFrame(
        [
            {"component": component, "property": name, "r": 0.5, "p": 0.01}
            for component in range(1, components + 1)
            for name in names
        ]
    )
    figure = plot_correlations(table, [f"{k}\n{50}%" for k in range(1, components + 1)])
    assert is_inside(figure)


def test_cross_table_shows_the_ratings_of_the_most_frequent(dataset: Dataset) -> None:
    values, users, items = cross_table(dataset, 5)
    for (row, column), value in np.ndenumerate(values):
        is_rating = (dataset.users == users[row]) & (dataset.items == items[column])
        assert is_rating.sum() == 1 - np.isnan(value)
        assert np.isnan(value) or dataset.ratings[is_rating].item() == value
    counts = np.bincount(dataset.items)
    assert sorted(counts[items].tolist()) == sorted(counts.tolist())[-5:]
    figure = plot_cross_table(dataset, 5)
    assert is_inside(figure)
    titles = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert titles == dataset.item_table["title"].iloc[items].tolist()


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Brazil (1985)", "Brazil (1985)"),
        ("Dr. Strangelove or: How I Learned to Stop Worrying (1963)", "Dr. Strangelove or… (1963)"),
        ("A title without any year, longer than that", "A title without any year…"),
    ],
)
def test_long_titles_keep_their_year(title: str, expected: str) -> None:
    assert shorten(title, 27) == expected
