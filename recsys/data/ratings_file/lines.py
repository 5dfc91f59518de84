"""Lines and fields of delimited text.

Each line is split on its own: a quote that is not closed affects one line, not the rest of the file.
"""

import csv
import io
from collections.abc import Iterator

import numpy as np

from recsys.errors import shortened

COUNTED = 1 << 16  # bytes in which line ends are counted at once; the temporary arrays fit into the CPU cache


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


def has_fields_over_lines(buffer: bytearray, size: int, rows: int, delimiter: str) -> bool:
    """Return whether a quoted field of a text spans lines. pyarrow accepts such fields.

    If none does, the text has as many rows as lines, and no quote is open in its last line.

    Args:
        buffer: whole lines.
        size: the number of bytes used.
        rows: the number of rows that pyarrow found, including the header.
        delimiter: the character between fields.
    """
    end = size
    while end and buffer[end - 1] in b"\r\n":
        end -= 1
    start = 1 + max(buffer.rfind(b"\n", 0, end), buffer.rfind(b"\r", 0, end))
    try:
        split_fields(buffer[start:end].decode("utf-8", errors="replace"), delimiter)
    except ValueError:
        return True
    return rows != _count_lines(buffer, size)


def _count_lines(buffer: bytearray, size: int) -> int:
    """Return the number of lines in the first `size` bytes; they end with LF, CRLF or CR."""
    letters = np.frombuffer(buffer, dtype=np.uint8, count=size)
    has_returns = buffer.find(b"\r", 0, size) >= 0
    count = int(buffer[size - 1] not in b"\r\n")
    for start in range(0, size, COUNTED):
        chunk = letters[start : start + COUNTED + 1]  # one more byte shows whether a CR is that of a CRLF
        line_feeds = chunk == ord("\n")
        count += int(np.count_nonzero(line_feeds[:COUNTED]))
        if has_returns:
            returns = chunk == ord("\r")
            count += int(np.count_nonzero(returns[:COUNTED]))
            count -= int(np.count_nonzero(returns[:-1] & line_feeds[1:]))
    return count
