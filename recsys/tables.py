"""Print rows to standard output: a table to read, or JSON or CSV for other programs."""

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


def check_format(given: object, *more: str) -> None:
    """Check the value of `format=`.

    Args:
        given: the value.
        more: formats that a command has in addition to those of `Format`.

    Raises:
        ConfigError: it is not an output format; the message lists them.
    """
    allowed = (*get_args(Format), *more)
    if given not in allowed:
        raise ConfigError(f"format={given}: choose {', '.join(allowed)}")


def print_rows(rows: Sequence[dict[str, Any]], form: Format, title: str = "") -> None:
    """Print rows that have the same keys; None is a missing value.

    Args:
        rows: one dict per row; the keys are the columns.
        form: "json" prints a list of objects, "csv" a header and one line per row.
        title: title of the table.
    """
    if form == "json":
        json.dump(list(rows), sys.stdout, indent=2, ensure_ascii=False)
        print()
    elif form == "csv":
        writer = csv.DictWriter(sys.stdout, fieldnames=list(rows[0]) if rows else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    else:
        console = Console(
            width=None if sys.stdout.isatty() else 160
        )  # a pipe or file has no width of its own
        if title:
            console.print(title, style="italic", soft_wrap=True, highlight=False, markup=False)
        table = Table()
        for key in rows[0] if rows else ():
            is_number = all(isinstance(row[key], int | float | None) for row in rows)
            table.add_column(Text(key), justify="right" if is_number else "left", overflow="fold")
        for row in rows:
            table.add_row(*(Text(shown(value)) for value in row.values()))  # Text: titles are not markup
        console.print(table)


def shown(value: object) -> str:
    """Return a value formatted for a table."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4f}" if value == 0 or abs(value) >= 0.0001 else f"{value:.0e}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
