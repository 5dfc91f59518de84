"""Print the leaderboard of a folder of runs, and write it as an HTML page."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recsys.errors import ConfigError
from recsys.leaderboard.command import best_command
from recsys.leaderboard.names import short_names
from recsys.leaderboard.paired_test import explain
from recsys.leaderboard.ranking import Configuration, compare_with_best, rank
from recsys.leaderboard.runs import RunRecord, read_folders
from recsys.leaderboard.table import table
from recsys.tables import print_rows
from recsys.terminal import print_line

# Short column names for a terminal.
SHORT = {
    "val/rmse sd": "sd",
    "difference": "diff",
    "test/rmse sd": "test sd",
    "test difference": "test diff",
}


def compare(
    folders: Sequence[Path], form: str = "table", test: bool = False, page: Path | None = None
) -> bool:
    """Print the leaderboard of all runs under some folders, the failed runs, and the command that repeats the best run.

    Args:
        folders: sweeps, runs, or any folders that contain runs; at least one.
        form: table, json, csv or markdown; the last three print only the rows.
        test: whether all rows show their test metric.
        page: path of an HTML page with the same content and figures; None: no page.

    Returns:
        Whether a run has finished; otherwise, no page is written.

    Raises:
        RunError: there are no runs, or they cannot be compared.
        ConfigError: the page cannot be written.
    """
    runs = read_folders(folders)
    configurations, unfinished = rank(runs), [run for run in runs if not run.completed]
    rows = table(configurations, test)
    if page is not None and configurations:
        from recsys.leaderboard.html import write_page  # imports plotly

        try:
            write_page(page, ", ".join(folder.name for folder in folders), configurations, rows, unfinished)
        except OSError as error:
            raise ConfigError(
                f"html={page}: {error.strerror}; choose a file in an existing folder with free space"
            ) from None
    if form == "markdown":
        print_line(markdown(rows))
    elif form != "table":
        print_rows(rows, form)  # type: ignore[arg-type]
    else:
        if rows:
            title = f"{', '.join(map(str, folders))}: {len(runs)} runs, by {configurations[0].objective.name}"
            print_rows(shorten_columns(rows), "table", title)
        _print_notes(configurations, runs)
        if page is not None and configurations:
            print_line(f"page: {page}")
    return bool(configurations)


def _print_notes(configurations: Sequence[Configuration], runs: Sequence[RunRecord]) -> None:
    """Print the explanations, failures and best command below the table."""
    unfinished = [run for run in runs if not run.completed]
    for sentence in explain(compare_with_best(configurations)):
        print_line(sentence)
    for run in unfinished:
        if not run.pruned:
            print_line(f"failed: job {run.name}: {run.content['error']}")
    if pruned := [run.name for run in unfinished if run.pruned]:
        print_line(f"pruned by the search: job {', '.join(pruned)}")
    ranked = {run.name for own in configurations for run in own.runs}
    if repeated := [run.name for run in runs if run.completed and run.name not in ranked]:
        print_line(
            f"repeats of the same configuration, split and seed, counted once: job {', '.join(repeated)}"
        )
    if configurations:
        print_line(f"best: {best_command(configurations)}")
        folders = [str(run.folder) for run in configurations[0].runs if run.folder is not None]
        if len(folders) == 1:
            print_line(f"run: {folders[0]}")


def shorten_columns(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows for a narrow terminal: keys without their prefix if that is unambiguous.

    The column "pairs" is dropped if all rows have the same value, because `explain` prints it. Paths are shortened to
    the name of the file, if no others have this name.
    """
    keys = [key for key in rows[0] if key != "pairs" or len({row[key] for row in rows} - {""}) > 1]
    names = short_names(keys, SHORT)
    columns = {names[key]: _file_names([row[key] for row in rows]) for key in keys}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _file_names(values: list[Any]) -> list[Any]:
    """Return values with the names of files instead of their paths, if the names differ."""
    names = {value: Path(value).name for value in values if isinstance(value, str) and value.startswith("/")}
    return [names.get(value, value) for value in values] if len(set(names.values())) == len(names) else values


def markdown(rows: list[dict[str, Any]]) -> str:
    """Return rows as a Markdown table."""
    head = list(rows[0]) if rows else []
    lines = [head, ["---"] * len(head), *(map(_cell, row.values()) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|")
