"""A leaderboard as one HTML page that needs no network: facts, table, failures, best command, interactive figures."""

import base64
import hashlib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from recsys.atomic import atomic_write
from recsys.leaderboard.board import Board
from recsys.leaderboard.command import best_command
from recsys.leaderboard.figures import plot_all
from recsys.leaderboard.heading import facts, headline
from recsys.leaderboard.paired_test import explain
from recsys.leaderboard.ranking import Configuration, compare_with_best
from recsys.leaderboard.runs import RunRecord
from recsys.leaderboard.values import sort_key
from recsys.tables import shown
from recsys.terminal import without_control_characters


class Column(NamedTuple):
    """A column of the table.

    Attributes:
        name: its header.
        is_numeric: whether all values are numbers.
        order: {value: position}; the position decides how rows are sorted by this column.
    """

    name: str
    is_numeric: bool
    order: dict[Any, int]


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
        title: name of the folder.
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
    """Return the page.

    All text is escaped. The only scripts are those of `_scripts`: the content security policy allows no others, and no
    requests.
    """
    environment = Environment(
        loader=PackageLoader("recsys.leaderboard"),
        autoescape=True,
        finalize=without_control_characters,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    board = Board(configurations)
    charts = plot_all(board)
    scripts = _scripts(bool(charts))
    ranked = [{"#": rank} | row for rank, row in enumerate(rows, 1)]
    return environment.get_template("leaderboard.html").render(
        title=title,
        headline=headline(board),
        facts=facts(board, unfinished),
        columns=[_column(name, [row[name] for row in ranked]) for name in ranked[0]],
        rows=[list(row.values()) for row in ranked],
        shown=shown,
        zip=zip,
        explanations=explain(compare_with_best(configurations)),
        failed=[run for run in unfinished if not run.pruned],
        pruned=[run for run in unfinished if run.pruned],
        command=best_command(configurations),
        charts=charts,
        figures=[chart.figure.to_plotly_json() for chart in charts],
        scripts=map(Markup, scripts),
        policy=_policy(scripts),
    )


def _column(name: str, values: Sequence[Any]) -> Column:
    present = [value for value in values if value != ""]
    ordered = sorted(set(present), key=lambda value: sort_key(str(value)))
    is_numeric = all(sort_key(str(value))[0] == 0 for value in present)
    return Column(name, is_numeric, {value: position for position, value in enumerate(ordered)})


def _scripts(has_figures: bool) -> list[str]:
    """Return the scripts of the page: plotly.js, 4.8 MB, if there are figures, and our own."""
    own = resources.files("recsys.leaderboard").joinpath("templates", "leaderboard.js").read_text("utf-8")
    return [get_plotlyjs(), own] if has_figures else [own]


def _policy(scripts: Sequence[str]) -> str:
    """Return a content security policy that runs only these scripts, by their hashes, and loads nothing.

    Plotly creates style elements, and `data:` and `blob:` images to save a figure as a file.
    """
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    hashes = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
