"""Reader of ratings in Parquet files; names file, row and value of a bad row, and can drop bad rows."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute, parquet

from recsys.data.ids import MAX_ID_LENGTH
from recsys.data.ratings_file.fast import integer_ids
from recsys.data.ratings_file.format import COLUMNS, OnBadRows, RatingsFormat
from recsys.data.ratings_file.times import parse_times
from recsys.errors import DataError, first_line, shortened

MAX_ROWS_PER_BYTE = 100  # Parquet stores equal values once, so a small file could fill the memory
Column = tuple[
    pd.Series, NDArray[np.bool_], str
]  # values, which of them are bad, and what is wrong with those


def parquet_columns(path: Path) -> list[str]:
    """Return the names of the columns of a Parquet file.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with parquet.ParquetFile(path) as file:
            rows, size = file.metadata.num_rows, path.stat().st_size
            if rows > MAX_ROWS_PER_BYTE * size:
                raise DataError(f"{path}: claims to have {rows:,} rows in {size:,} bytes; check the file")
            return file.schema_arrow.names
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read as Parquet ({first_line(error)})") from None


def read_parquet(
    path: Path, fmt: RatingsFormat, scale: tuple[float, float], on_bad_rows: OnBadRows
) -> tuple[pd.DataFrame, int]:
    """Read all valid rows; see `recsys.data.ratings_file.read.read_ratings`.

    Args:
        path: the file.
        fmt: names the columns, which exist; the other attributes but `may_repeat` are not used.
        scale: the lowest and the highest possible rating.
        on_bad_rows: "error" stops at the first bad row; "drop" skips and counts bad rows.

    Returns:
        A table with COLUMNS, and the number of dropped rows.

    Raises:
        DataError: a column has a type that cannot be used, or a row is bad and on_bad_rows is "error".
    """
    try:
        content = parquet.read_table(path, columns=fmt.names)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read as Parquet ({first_line(error)})") from None
    columns: dict[str, Column] = {}
    for role, name in fmt.by_role.items():
        place = f"{path}: column {shortened(name)}"
        values = content[name].combine_chunks()
        if role == "rating":
            columns[role] = _ratings(values, scale, place)
        else:
            columns[role] = (_times if role == "timestamp" else _ids)(values, place)
    n = len(content)
    table = pd.DataFrame({role: values for role, (values, _, _) in columns.items()})
    for role, default in (("rating", np.float32(1)), ("timestamp", np.int64(0))):
        if role not in table:
            table[role] = np.full(n, default)
    bad = np.logical_or.reduce([is_bad for _, is_bad, _ in columns.values()])
    repeats = np.zeros(n, bool) if fmt.may_repeat else _repeats(table, ~bad)
    for row in np.flatnonzero(bad | repeats)[:1] if on_bad_rows == "error" else ():
        reason = next(
            _reasons(row, content, columns, fmt),
            f"has the user and item of an earlier row{fmt.repeat_advice}",
        )
        raise DataError(f"{path} row {row + 1:,}: {reason}. data.on_bad_rows=drop skips such rows")
    kept = table[~(bad | repeats)].reset_index(drop=True)
    kept = kept.astype({"rating": np.float32, "timestamp": np.int64})
    for side in ("user", "item"):
        if kept[side].dtype.kind == "f":  # bad rows without a value made whole numbers floats
            kept[side] = kept[side].astype(np.int64)
    return kept[COLUMNS], n - len(kept)


def _reasons(row: int, content: pa.Table, columns: dict[str, Column], fmt: RatingsFormat) -> Iterator[str]:
    """Yield what is wrong with each value of a row."""
    for role, (_, is_bad, reason) in columns.items():
        if is_bad[row]:
            name, value = fmt.by_role[role], content[fmt.by_role[role]][row].as_py()
            yield f"{name} is missing" if value is None else f"{name} {shortened(value)} {reason}"


def _repeats(table: pd.DataFrame, valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    repeats = np.zeros(len(table), bool)
    repeats[valid] = table.loc[valid, ["user", "item"]].duplicated().to_numpy()
    return repeats


def _ids(values: pa.Array, place: str) -> Column:
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_integer(values.type):
        return _whole(values, place)
    if pa.types.is_floating(values.type):  # pandas makes floats of integers if one is missing
        return _whole(values, place)
    if not _is_text(values.type):
        raise DataError(f"{place} has the type {values.type}; ids must be whole numbers or text")
    texts = compute.utf8_trim_whitespace(values.cast(pa.string()))
    lengths = compute.utf8_length(texts)
    is_bad = compute.or_(
        compute.or_(compute.equal(lengths, 0), compute.greater(lengths, MAX_ID_LENGTH)),
        compute.match_substring(texts, "\0"),
    )
    flags = compute.fill_null(is_bad, True).to_numpy(zero_copy_only=False)
    integers = integer_ids(texts.filter(pa.array(~flags)))
    ids = texts.to_numpy(zero_copy_only=False)
    if integers is not None and len(integers):
        ids = np.zeros(len(texts), np.int64)
        ids[~flags] = integers
    return pd.Series(ids), flags, f"is empty, longer than {MAX_ID_LENGTH} characters, or has a NUL character"


def _whole(values: pa.Array, place: str) -> Column:
    """Return integers, or floats that are integers."""
    floats = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    missing = compute.is_null(values, nan_is_null=True).to_numpy(zero_copy_only=False)
    is_bad = missing | ~((floats == np.floor(floats)) & (np.abs(floats) < 2**63))
    whole = compute.if_else(pa.array(is_bad), pa.scalar(0, values.type), values)
    return pd.Series(whole.cast(pa.int64()).to_numpy()), is_bad, "is not a whole number of 64 bits"


def _ratings(values: pa.Array, scale: tuple[float, float], place: str) -> Column:
    numeric = pa.types.is_integer(values.type) or pa.types.is_floating(values.type)
    if not numeric and not pa.types.is_decimal(values.type):
        raise DataError(f"{place} has the type {values.type}; ratings must be numbers")
    ratings = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False).astype(np.float32)
    low, high = np.float32(scale[0]), np.float32(scale[1])
    is_bad = ~((ratings >= low) & (ratings <= high))
    return pd.Series(ratings), is_bad, f"is off the scale {low:g} to {high:g} (data.scale)"


def _times(values: pa.Array, place: str) -> Column:
    kind: Any = values.type
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        values = values.cast(pa.timestamp("s"), safe=False).cast(pa.int64())
    elif _is_text(kind):
        known = values.drop_null().cast(pa.string())
        try:
            parsed = parse_times(pa.chunked_array([known])).values
        except ValueError:
            raise DataError(
                f"{place} has texts that are neither whole numbers nor dates such as 2026-11-27"
            ) from None
        seconds = np.full(len(values), -1, np.int64)
        seconds[values.is_valid().to_numpy(zero_copy_only=False)] = parsed
        values = pa.array(seconds)
    elif not pa.types.is_integer(kind) and not pa.types.is_floating(kind):
        raise DataError(f"{place} has the type {kind}; times must be whole numbers, timestamps or dates")
    times, is_bad, _ = _whole(values, place)
    return times, is_bad | (times < 0).to_numpy(), "is not a time since 1970"


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
