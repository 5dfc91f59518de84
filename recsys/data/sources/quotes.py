"""Check the quotes of a text table whose quoted fields may have line breaks."""

import csv
import io

from recsys.data.ratings_file.file_kind import BUFFER_SIZE
from recsys.data.ratings_file.format import TextSource
from recsys.errors import DataError


def check_quotes(text: TextSource, separator: str, place: str, longest: int) -> None:
    """Check that each quoted field is closed, and that a separator or the end of the line follows its closing quote.

    pyarrow does not report such errors: after a quote that is not closed, it reads all following lines into one field.

    Args:
        text: the table.
        separator: between fields.
        place: what to call the table in errors.
        longest: the largest number of characters in a field.

    Raises:
        DataError: a quoted field breaks this rule, or a field is too long; the message has the line where its row
            begins.
    """
    if not _has_quotes(text):
        return
    before, line = csv.field_size_limit(longest), 1
    try:
        with io.TextIOWrapper(text.open(), "utf-8-sig", errors="replace", newline="") as lines:
            rows = csv.reader(lines, delimiter=separator, strict=True)
            for _ in rows:
                line = rows.line_num + 1
    except csv.Error:
        raise DataError(
            f"{place}:{line}: a quoted field of this row is not closed, or has text after its closing quote, or a "
            f'field has more than {longest:,} characters. In a quoted field, a quote is written twice: "a 12"" disk"'
        ) from None
    finally:
        csv.field_size_limit(before)


def _has_quotes(text: TextSource) -> bool:
    with text.open() as file:
        return any(b'"' in block for block in iter(lambda: file.read(BUFFER_SIZE), b""))
