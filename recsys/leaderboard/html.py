"""A leaderboard as one self-contained HTML page: table, failures, best command, figures."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from recsys.atomic import atomic_write
from recsys.leaderboard.command import best_command
from recsys.leaderboard.figures import plot_all
from recsys.leaderboard.paired_test import explain
from recsys.leaderboard.ranking import Configuration, compare_with_best
from recsys.leaderboard.runs import RunRecord
from recsys.tables import shown
from recsys.terminal import visible, without_control_characters


def write_page(
    path: Path,
    title: str,
    configurations: Sequence[Configuration],
    rows: Sequence[dict[str, Any]],
    unfinished: Sequence[RunRecord],
) -> None:
    """Write the page atomically.

    Args:
        path: path of the page.
        title: the headline.
        configurations: groups of runs that differ only by seed or fold, best first; at least one.
        rows: their leaderboard, as `recsys.leaderboard.table.table` returns it.
        unfinished: the failed and pruned runs.
    """
    page = render_page(title, configurations, rows, unfinished)
    with atomic_write(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def render_page(
    title: str,
    configurations: Sequence[Configuration],
    rows: Sequence[dict[str, Any]],
    unfinished: Sequence[RunRecord],
) -> str:
    """Return the page. It has no scripts and no external files, and everything except the figures is escaped."""
    environment = Environment(
        loader=PackageLoader("recsys.leaderboard"),
        autoescape=True,
        finalize=without_control_characters,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("leaderboard.html").render(
        title=title,
        columns=list(rows[0]),
        rows=[[shown(value) for value in row.values()] for row in rows],
        explanations=explain(compare_with_best(configurations)),
        unfinished=unfinished,
        command=best_command(configurations),
        # Matplotlib escapes all text in its SVG files.
        figures=[Markup(_svg(figure)) for figure in plot_all(configurations)],
    )


def _svg(figure: Figure) -> str:
    """Return a figure as an <svg> element."""
    file = io.StringIO()
    figure.savefig(file, format="svg")
    text = visible(file.getvalue())  # comments contain the texts; XML has no control characters
    return text[text.index("<svg") :]  # without the XML declaration
