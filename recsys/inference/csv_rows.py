"""Small CSV files of a user: new ratings, or a list of users."""

import stat
from collections.abc import Iterator
from pathlib import Path

from recsys.data.ratings_file.lines import lines_of, split_fields
from recsys.data.ratings_file.read import SEPARATORS
from recsys.errors import DataError, listed, os_error_as_data_error
from recsys.paths import expanded


def csv_rows(path: Path, key: str) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and fields of every line that is not empty, the header included.

    Args:
        path: UTF-8 text; a file or a pipe, which is read once. Its separator is the first of comma, tab, semicolon
            and | that is in the header.
        key: the key that names the file, for error messages.

    Raises:
        DataError: the file cannot be read, or a line cannot be split into fields.
    """
    path = expanded(path)
    try:
        with os_error_as_data_error(f"{key}={path}", "; give the path of a CSV file"):
            mode = path.stat().st_mode
            if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):  # it may have no end
                raise DataError(f"{key}={path}: is a device; give the path of a CSV file or a pipe")
            content = path.read_bytes()
            if content.startswith(b"PAR1"):
                raise DataError(f"{key}={path}: is a Parquet file; save it as CSV")
            text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{key}={path}: not UTF-8 text; save the file as UTF-8") from None
    is_first, delimiter = True, ","
    for number, line in enumerate(lines_of(text), 1):
        if not line and number > 1:
            continue
        try:
            if is_first and line.strip():
                delimiter = next((one for one in SEPARATORS if one in line), ",")
            fields = split_fields(line, delimiter, skipinitialspace=True)
        except ValueError as problem:
            raise DataError(f"{path} line {number}: {problem}") from None
        fields = [field.strip() for field in fields]
        if is_first and len(set(fields)) < len(fields):
            raise DataError(f"{path} line {number}: two columns have the same name ({listed(fields)})")
        if fields:
            is_first = False
            yield number, fields
