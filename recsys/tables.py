"""Print rows to standard output: a table to read, or JSON or CSV for other programs."""

import csv
import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Literal, get_args

from rich.box import HEAVY_HEAD, Box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from recsys.errors import ConfigError
from recsys.terminal import can_print, is_terminal, json_escaped, visible

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

    A table shows control characters as escapes, and so does JSON. CSV has the values as they are.

    Args:
        rows: one dict per row; the keys are the columns.
        form: "json" prints a list of objects, in ASCII if standard output cannot encode all characters; "csv"
            prints a header and one line per row, in UTF-8 with any locale.
        title: title of the table.
    """
    if sys.stdout is None:  # the program was started without it
        return
    if form == "json":
        text = json_escaped(json.dumps(list(rows), indent=2, ensure_ascii=False))
        # The escapes of a stream, such as \U0001f600, are not JSON.
        sys.stdout.write((text if can_print(text) else json.dumps(list(rows), indent=2)) + "\n")
    elif form == "csv":
        if hasattr(sys.stdout, "reconfigure") and not _is_utf8(sys.stdout.encoding):
            sys.stdout.reconfigure(encoding="utf-8")
        writer = csv.DictWriter(sys.stdout, fieldnames=list(rows[0]) if rows else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    else:
        if title:
            Console().print(_text(title), style="italic", soft_wrap=True, highlight=False)
        table = TextTable()
        for key in rows[0] if rows else ():
            is_number = all(isinstance(row[key], int | float | None) for row in rows)
            table.add_column(key, is_number)
        for row in rows:
            table.add_row(map(shown, row.values()))
        table.print(None if is_terminal() else 160)  # a pipe or file has no width of its own


class TextTable:
    """A table whose cells are plain text: square brackets are not markup, and control characters are shown.

    Args:
        title: printed above the table.
        box: the lines; None for none.
    """

    def __init__(self, title: str = "", box: Box | None = HEAVY_HEAD) -> None:
        heading = _text(title) if title else None
        self._table = Table(title=heading, title_justify="left", box=box, padding=(0, 1))

    def add_column(self, name: str, is_number: bool = False, **options: Any) -> None:
        """Add a column; numbers are aligned to the right."""
        options = {"overflow": "fold", **options}
        self._table.add_column(_text(name), justify="right" if is_number else "left", **options)

    def add_row(self, cells: Iterable[str], is_bold: bool = False) -> None:
        """Add a row with one cell per column."""
        self._table.add_row(*map(_text, cells), style="bold" if is_bold else None)

    def print(self, width: int | None = None) -> None:
        """Print the table, as wide as the terminal if `width` is None; Rich draws lines in ASCII where necessary."""
        Console(width=width).print(self._table)


def _text(value: str) -> Text:
    """Return a cell. What standard output cannot encode is escaped here, so that columns stay aligned."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    line = visible(value).replace("\n", "\\n")
    return Text(line.encode(encoding, "backslashreplace").decode(encoding))


def _is_utf8(encoding: str | None) -> bool:
    return (encoding or "").lower().replace("-", "") == "utf8"


def shown(value: object) -> str:
    """Return a value formatted for a table."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4f}" if value == 0 or abs(value) >= 0.0001 else f"{value:.0e}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
