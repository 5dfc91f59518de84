"""Read tables of items or users next to the ratings: one row per id, and columns that describe it."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute, csv, parquet

from recsys.data.column_types import ID_TYPES, is_list, is_number, is_text
from recsys.data.ids import text_id_problem
from recsys.data.ratings_file.file_kind import kind_of, text_source, unpacked_limit
from recsys.data.ratings_file.format import RatingsFormat, TextSource
from recsys.data.ratings_file.integer_ids import integer_ids
from recsys.data.ratings_file.parquet import MIN_LIMIT, parquet_columns
from recsys.data.ratings_file.read import read_header, with_separator
from recsys.data.ratings_file.times import MICROSECONDS, parse_times
from recsys.data.sources.quotes import check_quotes
from recsys.errors import DataError, first_line, listed, os_error_as_data_error, shortened

MAX_COLUMNS = 2000
BLOCK_SIZE = 2**26  # bytes of text; a field must fit into a block

log = logging.getLogger(__name__)


class SideTable(NamedTuple):
    """A table of items or users.

    Attributes:
        ids: raw ids (n,), int64 or text, each of them once.
        columns: the other columns, in the same order.
    """

    ids: NDArray
    columns: pa.Table


def read_side_table(path: Path, id_name: str, key: str, title: str | None = None) -> SideTable:
    """Read a table: text with a header line, the same compressed with gzip, or Parquet.

    Args:
        path: the file.
        id_name: the name of the id column.
        key: the key that names the file, for error messages.
        title: the name of a column that is text, even if it has only numbers.

    Raises:
        DataError: the file cannot be read, has no such column, or an id is missing or occurs twice.
    """
    with os_error_as_data_error(f"{key}={path}", f"; check {key}"):
        kind = kind_of(path)
        if kind == "parquet":
            table = _read_parquet(path, id_name, key)
        else:
            table = _read_text(text_source(path, str(path), kind), path, id_name, key, title)
    if not len(table):
        raise DataError(f"{key}={path}: has no rows below the header")
    for name in table.column_names:
        _check_text(table[name], f"{key}={path}: column {shortened(name)}")
    ids = _ids(table[id_name], f"{key}={path}: column {shortened(id_name)}")
    return SideTable(ids, _with_dates(table.drop_columns([id_name]), title))


def _with_dates(table: pa.Table, title: str | None) -> pa.Table:
    """Return a table in which columns of dates as text are dates, as pyarrow reads them in CSV, but not the title."""
    for position, name in enumerate(table.column_names):
        column = table[name]
        if name == title or not is_text(column.type):
            continue
        texts = column.cast(pa.string())
        known = texts.filter(compute.not_equal(texts, "")).drop_null()
        if len(known) and compute.all(compute.match_substring_regex(known, r"^\d{4}-\d\d-\d\d")).as_py():
            try:
                seconds = parse_times(pa.chunked_array([known.combine_chunks()])).values // MICROSECONDS
            except ValueError:
                continue
            dates = pd.Series(pd.NaT, index=range(len(texts)), dtype="datetime64[s]")
            is_known = compute.fill_null(compute.not_equal(texts, ""), False).to_numpy()
            dates[is_known] = seconds.astype("datetime64[s]")
            table = table.set_column(position, name, pa.array(dates))
    return table


def _read_parquet(path: Path, id_name: str, key: str) -> pa.Table:
    """Read the columns of types that can be used.

    Texts are read as dictionaries, which take no more memory than the file: Parquet stores equal texts once.
    """
    _require_column(parquet_columns(path), id_name, path, key)
    try:
        with parquet.ParquetFile(path) as file:
            paths = [file.schema.column(position).path for position in range(len(file.schema))]
            schema = file.schema_arrow
        usable = [field.name for field in schema if _is_usable(field.type)]
        table = parquet.read_table(path, columns=usable, read_dictionary=paths)
    except pa.ArrowException as error:
        raise DataError(f"{key}={path}: cannot be read as Parquet ({first_line(error)})") from None
    for field in schema:
        if field.name not in usable:
            if field.name == id_name:
                raise DataError(
                    f"{key}={path}: column {shortened(id_name)} has the type {field.type}; {ID_TYPES}"
                )
            log.warning(
                "%s=%s: column %s has the type %s, and is not read", key, path, field.name, field.type
            )
    limit = unpacked_limit(path, MIN_LIMIT)
    for name in usable:
        if _decoded_size(table[name]) > limit:
            raise DataError(
                f"{key}={path}: column {shortened(name)} has texts of more than {limit:,} bytes in all"
            )
    return _with_lists_of_text(table)


def _is_usable(kind: pa.DataType) -> bool:
    """Return whether a column of a type can be a feature, a filter, or an id."""
    if is_list(kind):
        kind = kind.value_type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    is_simple = pa.types.is_boolean(kind) or pa.types.is_null(kind) or pa.types.is_temporal(kind)
    return is_simple or is_text(kind) or is_number(kind)


def _with_lists_of_text(table: pa.Table) -> pa.Table:
    """Return a table with plain text in lists, instead of dictionaries."""
    for position, field in enumerate(table.schema):
        kind = field.type
        if not is_list(kind) or not is_text(kind.value_type):
            continue
        target = pa.large_list(pa.string()) if pa.types.is_large_list(kind) else pa.list_(pa.string())
        if pa.types.is_fixed_size_list(kind):
            target = pa.list_(pa.string(), kind.list_size)
        table = table.set_column(position, field.name, table[field.name].cast(target))
    return table


def _decoded_size(column: pa.ChunkedArray) -> int:
    """Return the number of bytes in a column of dictionary-encoded texts, or of lists of these; 0 for others."""
    size = 0
    for chunk in column.chunks:
        texts = chunk.flatten() if is_list(chunk.type) else chunk
        if pa.types.is_dictionary(texts.type) and is_text(texts.type):
            lengths = compute.binary_length(texts.dictionary).take(texts.indices)
            size += int(compute.sum(lengths).as_py() or 0)
    return size


def _read_text(text: TextSource, path: Path, id_name: str, key: str, title: str | None) -> pa.Table:
    """Read all columns as bytes to find those that must stay text, and then read them with their types."""
    fmt = with_separator(text, RatingsFormat("", header=True, quoted=True), column=id_name)
    header = read_header(text, fmt)
    _require_column(header, id_name, path, key)
    check_quotes(text, fmt.separator, f"{key}={path}", BLOCK_SIZE)

    def read(types: Mapping[str, pa.DataType]) -> pa.Table:
        with text.open() as file:
            return csv.read_csv(
                pa.PythonFile(file),
                read_options=csv.ReadOptions(block_size=BLOCK_SIZE),
                parse_options=csv.ParseOptions(delimiter=fmt.separator, newlines_in_values=True),
                # "NA" is a missing number, but may be a title.
                convert_options=csv.ConvertOptions(column_types=types, strings_can_be_null=False),
            )

    try:
        raw = read(dict.fromkeys(header, pa.binary()))
        texts = [name for name in raw.column_names if name == title or _has_codes(raw[name])]
        return read(dict.fromkeys([id_name, *filter(lambda name: _is_utf8(raw[name]), texts)], pa.string()))
    except pa.ArrowException as error:
        raise DataError(f"{key}={path}: {first_line(error):.200}") from None


def _has_codes(column: pa.ChunkedArray) -> bool:
    """Return whether a column has whole numbers that begin with 0, such as 007: these are codes, not numbers."""
    return bool(compute.any(compute.match_substring_regex(column, r"^\s*0\d+\s*$")).as_py())


def _is_utf8(column: pa.ChunkedArray) -> bool:
    try:
        column.cast(pa.string())
    except pa.ArrowInvalid:
        return False
    return True


def _check_text(column: pa.ChunkedArray, place: str) -> None:
    """Check that text is UTF-8; pyarrow reads other text in a CSV file as binary.

    Raises:
        DataError: it is not.
    """
    try:
        column.validate(full=True)
        is_valid = not pa.types.is_binary(column.type) and not pa.types.is_large_binary(column.type)
    except pa.ArrowInvalid:
        is_valid = False
    if not is_valid:
        raise DataError(f"{place} is not UTF-8 text; save the file as UTF-8, or leave the column out")


def _require_column(header: list[str], id_name: str, path: Path, key: str) -> None:
    if id_name not in header:
        raise DataError(
            f"{key}={path}: no column {id_name!r}; the file has {listed(header) or 'none'}. The id column has the name "
            "of data.item or data.user"
        )
    if len(header) > MAX_COLUMNS:
        raise DataError(
            f"{key}={path}: has {len(header):,} columns, and at most {MAX_COLUMNS:,} are possible; numbers that belong "
            "together can be one column of vectors in a Parquet file"
        )
    if any("\ufffd" in name for name in header):  # the replacement for bytes that cannot be decoded
        raise DataError(f"{key}={path}: the names of the columns are not UTF-8 text; save the file as UTF-8")
    if repeated := [name for name in header if header.count(name) > 1]:
        raise DataError(
            f"{key}={path}: several columns are called {shortened(repeated[0])}; names must be unique"
        )


def _ids(column: pa.ChunkedArray, place: str) -> NDArray:
    """Return ids: int64 if all are, otherwise text."""
    values = column.combine_chunks()
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if values.null_count:
        row = int(np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False))[0])
        raise DataError(f"{place} row {row + 1:,}: the id is missing")
    if not pa.types.is_integer(values.type) and not is_text(values.type):
        raise DataError(f"{place} has the type {values.type}; {ID_TYPES}")
    texts = compute.utf8_trim_whitespace(values.cast(pa.string()))
    counts = compute.value_counts(texts).field("counts")
    if len(counts) < len(texts):
        twice = compute.value_counts(texts).filter(compute.greater(counts, 1))[0]["values"].as_py()
        raise DataError(f"{place}: id {shortened(twice, quoted=False)} occurs twice; keep one row per id")
    if (integers := integer_ids(texts)) is not None:
        return integers
    ids = texts.to_numpy(zero_copy_only=False)
    for row, id in enumerate(ids):
        if (problem := "is empty" if not id else text_id_problem(id)) is not None:
            raise DataError(f"{place} row {row + 1:,}: id {shortened(id)} {problem}")
    return ids
