"""Reader of ratings in Parquet files; names file, row and value of a bad row, and can drop bad rows."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute, parquet

from recsys.data.column_types import ID_TYPES, is_number, is_text, value_of
from recsys.data.ids import MAX_ID_LENGTH, text_id_problem
from recsys.data.ratings_file.file_kind import MAX_COMPRESSION_RATIO, unpacked_limit
from recsys.data.ratings_file.format import COLUMNS, OnBadRows, RatingsFormat
from recsys.data.ratings_file.integer_ids import to_integers_if_possible
from recsys.data.ratings_file.numbers import MAX_INTEGER
from recsys.data.ratings_file.times import DATES, parse_time, parse_times
from recsys.errors import DataError, first_line, shortened

MAX_VALUES_PER_BYTE = 100  # Parquet stores equal values once, so a small file could fill the memory
MIN_LIMIT = 2**24  # bytes that a file of any size may unpack to
NO_TIME = "is not a time since 1970"


class Column(NamedTuple):
    """Values of a column (n,), which of them are bad (n,), and what is wrong with those."""

    values: NDArray
    is_bad: NDArray[np.bool_]
    reason: str


def parquet_columns(path: Path) -> list[str]:
    """Return the names of the columns of a Parquet file.

    Raises:
        DataError: it cannot be read, or its footer says that reading it would take far more memory than its size.
    """
    try:
        with parquet.ParquetFile(path) as file:
            metadata, size = file.metadata, path.stat().st_size
            chunks = [
                metadata.row_group(group).column(column)
                for group in range(metadata.num_row_groups)
                for column in range(metadata.num_columns)
            ]
            values = max(sum(chunk.num_values for chunk in chunks), metadata.num_rows)
            if values > MAX_VALUES_PER_BYTE * size:
                raise DataError(f"{path}: claims to have {values:,} values in {size:,} bytes; check the file")
            unpacked = sum(chunk.total_uncompressed_size for chunk in chunks)
            if unpacked > unpacked_limit(path, MIN_LIMIT):  # one very long text, for example
                raise DataError(
                    f"{path}: its {size:,} bytes unpack to {unpacked:,}, more than {MAX_COMPRESSION_RATIO} times as "
                    "many; check the file for very long texts"
                )
            return file.schema_arrow.names
    except UnicodeDecodeError:
        raise DataError(f"{path}: the names of the columns are not UTF-8 text") from None
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read as Parquet ({first_line(error)})") from None


def read_parquet(
    path: Path, fmt: RatingsFormat, scale: tuple[float, float], on_bad_rows: OnBadRows
) -> tuple[pd.DataFrame, int]:
    """Read all valid rows; see `recsys.data.ratings_file.read.read_ratings`.

    Args:
        path: the file.
        fmt: names the columns, which must exist; of the other attributes, only `may_repeat` and `repeat_advice` are
            used.
        scale: the lowest and the highest possible rating.
        on_bad_rows: "error" stops at the first bad row; "drop" skips and counts bad rows.

    Returns:
        A table with COLUMNS, and the number of dropped rows.

    Raises:
        DataError: the file cannot be read, a column has a type that cannot be used, or a row is bad and on_bad_rows is
            "error".
    """
    _check_types(path, fmt)
    content = _read_columns(path, fmt)
    columns: dict[str, Column] = {}
    for role, name in fmt.by_role.items():
        values = content[name].combine_chunks()
        if role == "rating":
            columns[role] = _ratings(values, scale)
        else:
            columns[role] = (_times if role == "timestamp" else _ids)(values)
    n = len(content)
    # Keep the dtypes: pandas would otherwise convert text ids to its string type, which copies each one.
    table = pd.DataFrame(
        {role: pd.Series(column.values, dtype=column.values.dtype) for role, column in columns.items()}
    )
    for role, default in (("rating", np.float32(1)), ("timestamp", np.int64(0))):
        if role not in table:
            table[role] = np.full(n, default)
    bad = np.logical_or.reduce([is_bad for _, is_bad, _ in columns.values()])
    repeats = np.zeros(n, bool) if fmt.may_repeat else _repeats(table, ~bad)
    bad |= repeats
    if on_bad_rows == "error" and bad.any():
        row = int(bad.argmax())
        reason = next(
            _reasons(row, content, columns, fmt),
            f"has the user and item of an earlier row{fmt.repeat_advice}",
        )
        raise DataError(f"{path} row {row + 1:,}: {reason}. data.on_bad_rows=drop skips such rows")
    kept = table[~bad].reset_index(drop=True)
    for side in ("user", "item"):
        if kept[side].dtype.kind not in "iu":
            kept[side] = to_integers_if_possible(kept[side])
    return kept[COLUMNS], n - len(kept)


def _check_types(path: Path, fmt: RatingsFormat) -> None:
    """Check the types of the columns before they are read: other types can take much more memory than the file.

    Raises:
        DataError: a column has a type that cannot be used.
    """
    schema = parquet.read_schema(path)
    for role, name in fmt.by_role.items():
        kind = schema.field(name).type
        is_plain_number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
        if role == "rating":
            is_usable, wanted = is_number(kind), "ratings must be numbers"
        elif role == "timestamp":
            is_time = is_plain_number or pa.types.is_date(kind) or pa.types.is_timestamp(kind)
            is_usable = is_time or is_text(kind)
            wanted = "times must be whole numbers, timestamps, dates or text"
        else:
            is_usable, wanted = is_plain_number or is_text(kind), ID_TYPES
        if not is_usable:
            raise DataError(f"{path}: column {shortened(name)} has the type {kind}; {wanted}")


def _read_columns(path: Path, fmt: RatingsFormat) -> pa.Table:
    """Read the columns of a format.

    Texts are read as dictionaries, so a repeated text is in memory only once, as it is in the file.

    Raises:
        DataError: the columns cannot be read.
    """
    texts = [name for role, name in fmt.by_role.items() if role != "rating"]
    try:
        content = parquet.read_table(path, columns=fmt.names, read_dictionary=texts)
        content.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read as Parquet ({first_line(error)})") from None
    return content


def _reasons(row: int, content: pa.Table, columns: dict[str, Column], fmt: RatingsFormat) -> Iterator[str]:
    """Yield what is wrong with each bad value of a row."""
    for role, (_, is_bad, reason) in columns.items():
        if is_bad[row]:
            name, value = fmt.by_role[role], value_of(content[fmt.by_role[role]][row])
            yield f"{name} is missing" if value is None else f"{name} {shortened(value)} {reason}"


def _repeats(table: pd.DataFrame, valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    repeats = np.zeros(len(table), bool)
    repeats[valid] = table.loc[valid, ["user", "item"]].duplicated().to_numpy()
    return repeats


def _ids(values: pa.Array) -> Column:
    """Return integers, or text as Python objects."""
    if not is_text(values.type):  # pandas makes floats of integers if one is missing
        return _whole(values)
    encoded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
    distinct = compute.utf8_trim_whitespace(encoded.dictionary.cast(pa.string())).to_pylist()
    texts = pd.Series([*distinct, ""], dtype=object)  # the last one is that of missing values
    is_bad = np.array([not text or text_id_problem(text) is not None for text in texts])
    codes = compute.fill_null(encoded.indices, len(distinct)).to_numpy(zero_copy_only=False)
    reason = f"is empty, longer than {MAX_ID_LENGTH} characters, or has a NUL character"
    return Column(texts.to_numpy()[codes], is_bad[codes], reason)


def _whole(values: pa.Array) -> Column:
    """Convert whole numbers to int64; all other values are bad, and become 0."""
    limit = "63 bits"
    if pa.types.is_integer(values.type):
        is_bad = compute.is_null(values)
        if pa.types.is_uint64(values.type):
            is_bad = compute.fill_null(compute.greater(values, pa.scalar(MAX_INTEGER, pa.uint64())), True)
        flags = is_bad.to_numpy(zero_copy_only=False)
    else:
        limit = "53 bits (in a column of floating-point numbers)"
        floats = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        flags = ~((floats == np.floor(floats)) & (np.abs(floats) < 2**53))
    whole = compute.if_else(pa.array(flags), pa.scalar(0, values.type), values)
    return Column(whole.cast(pa.int64()).to_numpy(), flags, f"is not a whole number of at most {limit}")


def _ratings(values: pa.Array, scale: tuple[float, float]) -> Column:
    with np.errstate(over="ignore"):  # too large a rating becomes infinite, which is off the scale
        ratings = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False).astype(np.float32)
    low, high = np.float32(scale[0]), np.float32(scale[1])
    is_bad = ~((ratings >= low) & (ratings <= high))
    return Column(ratings, is_bad, f"is off the scale {low:g} to {high:g} (data.scale)")


def _times(values: pa.Array) -> Column:
    if pa.types.is_dictionary(values.type):
        # Distinct texts in the order of the rows: the first valid one decides whether they are dates. The dictionary
        # may also have texts that no row uses.
        used = values.indices.drop_null().unique()
        texts = values.dictionary.take(used)
        distinct = _times(pa.concat_arrays([texts, pa.nulls(1, texts.type)]))
        positions = np.full(len(values.dictionary) + 1, len(used))
        positions[used.to_numpy()] = np.arange(len(used))
        codes = compute.fill_null(values.indices, len(values.dictionary)).to_numpy(zero_copy_only=False)
        return Column(distinct.values[positions[codes]], distinct.is_bad[positions[codes]], distinct.reason)
    if pa.types.is_date(values.type) or pa.types.is_timestamp(values.type):
        return _dates(values)
    if is_text(values.type):
        reason = f"{NO_TIME}, or is a date among numbers, or a number among dates"
        return Column(*_parsed(values.cast(pa.string())), reason)
    times, is_bad, _ = _whole(values)
    return Column(times, is_bad | (times < 0), NO_TIME)


def _dates(values: pa.Array) -> Column:
    kind: Any = values.type
    if pa.types.is_date64(kind):  # milliseconds
        values = values.cast(pa.timestamp("ms"))
    microseconds = values.cast(pa.timestamp("us", getattr(kind, "tz", None)), safe=False)
    times, is_bad, _ = _whole(microseconds.cast(pa.int64()))
    if getattr(kind, "unit", None) != "ns":  # loses digits, but cannot overflow; other units can
        is_same = compute.equal(microseconds.cast(values.type, safe=False), values)
        is_bad = is_bad | ~compute.fill_null(is_same, False).to_numpy(zero_copy_only=False)
    return Column(times.view(DATES), is_bad | (times < 0), NO_TIME)


def _parsed(texts: pa.Array) -> tuple[NDArray, NDArray[np.bool_]]:
    """Return texts as times, and which of them are not valid times.

    The first valid one decides whether the column has dates or numbers.
    """
    times = np.full(len(texts), -1, np.int64)
    known = texts.is_valid().to_numpy(zero_copy_only=False)
    are_dates: bool | None = None
    try:
        times[known], are_dates = parse_times(pa.chunked_array([texts.drop_null()]))
    except ValueError:
        for row in np.flatnonzero(known):
            try:
                time, is_date = parse_time(texts[row].as_py())
            except ValueError:
                continue
            are_dates = is_date if are_dates is None else are_dates
            times[row] = time if is_date == are_dates else -1
    return times.view(DATES) if are_dates else times, times < 0
