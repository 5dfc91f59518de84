"""The leaderboard of a folder of runs: printed, and as a page."""

from pathlib import Path
from typing import Any

from recsys.errors import ConfigError
from recsys.leaderboard.paired_test import explain
from recsys.leaderboard.table import against_best, best_command, rank, read_runs, table
from recsys.tables import print_rows

# Headings of a terminal's table.
SHORT = {
    "val/rmse sd": "sd",
    "difference": "diff",
    "test/rmse sd": "test sd",
    "test difference": "test diff",
}


def compare(folder: Path, form: str = "table", test: bool = False, page: Path | None = None) -> None:
    """Print the leaderboard of all runs under a folder, its failures, and the command of the best run.

    Args:
        folder: a sweep, or any folder with runs below it.
        form: table, json, csv or markdown; the last three print rows alone.
        test: whether to show the test metric of all lines.
        page: where to write the same as an HTML page with pictures; None: nowhere.

    Raises:
        RunError: there are no runs, or they cannot be compared.
        ConfigError: the page cannot be written.
    """
    runs = read_runs(folder)
    lines, failed = rank(runs), [run for run in runs if not run.completed]
    rows = table(lines, test)
    if page is not None and lines:
        from recsys.leaderboard.html import write_page  # with it comes matplotlib

        try:
            write_page(page, folder.name, lines, rows, failed)
        except OSError as problem:
            raise ConfigError(f"html={page}: {problem.strerror}") from None
    if form == "markdown":
        print(markdown(rows))
    elif form != "table":
        print_rows(rows, form)  # type: ignore[arg-type]
    else:
        if rows:
            print_rows(shortened(rows), "table", f"{folder}: {len(runs)} runs, by {lines[0].objective.name}")
        for sentence in explain(against_best(lines)):
            print(sentence)
        for run in failed:
            if not run.pruned:
                print(f"failed: job {run.name}: {run.content['error']}")
        if pruned := [run.name for run in failed if run.pruned]:
            print(f"pruned by the search: job {', '.join(pruned)}")
        if lines:
            print(f"best: {best_command(lines)}")
        if page is not None and lines:
            print(f"page: {page}")


def shortened(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows with the last word of each key alone, where it is the only one: a terminal is narrow.

    Pairs that are as many in all lines are no column either: `explain` tells how many.
    """
    keys = [key for key in rows[0] if key != "pairs" or len({row[key] for row in rows} - {""}) > 1]
    last = [SHORT.get(key, key.rsplit(".", 1)[-1]) for key in keys]
    names = {key: word if last.count(word) == 1 else key for key, word in zip(keys, last, strict=True)}
    return [{names[key]: row[key] for key in keys} for row in rows]


def markdown(rows: list[dict[str, Any]]) -> str:
    """Rows as a Markdown table."""
    head = list(rows[0]) if rows else []
    lines = [head, ["---"] * len(head), *(map(_cell, row.values()) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|")
