"""What a command prints: a table for people, or JSON and CSV for programs, on standard output alone."""

import csv
import json
import sys
from collections.abc import Sequence
from typing import Any, Literal, get_args

from rich.console import Console
from rich.table import Table
from rich.text import Text

from recsys.errors import ConfigError

Format = Literal["table", "json", "csv"]


def check_format(given: object) -> None:
    """Refuse any other format.

    Raises:
        ConfigError: names the ones there are.
    """
    if given not in get_args(Format):
        raise ConfigError(f"format={given}: choose {', '.join(get_args(Format))}")


def print_rows(rows: Sequence[dict[str, Any]], form: Format, title: str = "") -> None:
    """Print rows with equal keys; None is a value that a row has not.

    Args:
        rows: one dict per line; its keys are the columns.
        form: json prints a list of objects, csv a header and lines.
        title: of the table.
    """
    if form == "json":
        json.dump(list(rows), sys.stdout, indent=2, ensure_ascii=False)
        print()
    elif form == "csv":
        writer = csv.DictWriter(sys.stdout, fieldnames=list(rows[0]) if rows else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    else:
        console = Console(width=None if sys.stdout.isatty() else 160)  # a file has no edge
        if title:
            console.print(title, style="italic", soft_wrap=True, highlight=False, markup=False)
        table = Table()
        for key in rows[0] if rows else ():
            number = all(isinstance(row[key], int | float | None) for row in rows)
            table.add_column(Text(key), justify="right" if number else "left", overflow="fold")
        for row in rows:
            table.add_row(*(Text(shown(value)) for value in row.values()))  # no markup in what users typed
        console.print(table)


def shown(value: object) -> str:
    """A value as people read it."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4f}" if value == 0 or abs(value) >= 0.0001 else f"{value:.0e}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
