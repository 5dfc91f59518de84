"""Lines and fields of delimited text.

Each line is split on its own: a quote that is not closed affects one line, not the rest of the file.
"""

import csv
import io
from collections.abc import Iterator

from recsys.errors import shortened


def lines_of(text: str) -> Iterator[str]:
    """Yield the lines of a text without their ends (LF, CRLF or CR)."""
    for line in io.StringIO(text, newline=None):
        yield line.removesuffix("\n")


def split_fields(
    line: str, delimiter: str = ",", quoted: bool = True, skipinitialspace: bool = False
) -> list[str]:
    """Return the fields of a line; none if the line is empty.

    Args:
        line: the line, without its end.
        delimiter: the character between fields.
        quoted: whether fields may be in double quotes.
        skipinitialspace: whether spaces before a quote are ignored.

    Raises:
        ValueError: a quoted field does not end in this line, or is too long.
    """
    if not quoted or '"' not in line:
        return line.split(delimiter) if line else []
    try:
        fields = next(csv.reader([line + "\n"], delimiter=delimiter, skipinitialspace=skipinitialspace))
    except csv.Error as problem:
        raise ValueError(f"{problem} ({shortened(line)})") from None
    if fields[-1].endswith("\n"):  # the end of the line belongs to a field, so that field is still open
        raise ValueError(f"a quote is not closed in this line ({shortened(line)})")
    return fields
