"""Columns of Parquet files that would fill the memory: each row has the same text, which the file stores once."""

from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

ROWS = 2000


def large_column(kind: str) -> pa.Array:
    """Return a column with 1 MB in each of `ROWS` rows: "text", "binary", "list", "list of lists" or "struct"."""
    value = b"x" * 10**6 if kind == "binary" else "x" * 10**6
    column = pa.DictionaryArray.from_arrays(pa.array([0] * ROWS, pa.int32()), pa.array([value]))
    for _ in range(kind.count("list")):
        column = pa.ListArray.from_arrays(pa.array(range(ROWS + 1), pa.int32()), column)
    return pa.StructArray.from_arrays([column], ["inside"]) if kind == "struct" else column


def write_large(columns: dict[str, pa.Array], path: Path, store_schema: bool) -> None:
    """Write columns to a Parquet file of little more than 1 MB."""
    parquet.write_table(pa.table(columns), path, dictionary_pagesize_limit=10**9, store_schema=store_schema)
