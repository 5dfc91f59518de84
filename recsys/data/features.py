"""Features of items and users from the columns of a table; the kind of a column follows from its type and values."""

import logging
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute

from recsys.data.column_types import is_list, is_number, is_text, value_of
from recsys.errors import DataError, listed, shortened

log = logging.getLogger(__name__)

# Limits of a feature: its matrix is dense, so more categories could exhaust the memory.
MAX_CATEGORIES = 1000
MAX_CELLS = 1 << 28  # of all features of a table: 1 GiB as float32
MAX_NUMBER = 1e100  # the squares of larger numbers could overflow in the standard deviation
MAX_DEVIATION = 5.0  # standardised numbers are clipped to this range, so that a few outliers do not dominate


class FeatureMatrix(NamedTuple):
    """Features of all items or users.

    Attributes:
        names: of the columns, such as "price" or "category=tea", (n_features,).
        values: float32 (n, n_features).
    """

    names: list[str]
    values: NDArray[np.float32]


@dataclass(frozen=True)
class Options:
    """How columns are read.

    Attributes:
        chosen: names of the columns that are features; None: all that can be one.
        categorical: names of numeric columns that are categories, such as numbers of brands.
        list_separator: the character between the values of a text with several values.
    """

    chosen: tuple[str, ...] | None = None
    categorical: tuple[str, ...] = ()
    list_separator: str = "|"


def make_features(table: pa.Table, options: Options, name: str) -> FeatureMatrix:
    """Return the features of the rows of a table.

    - Text, booleans and the columns in `options.categorical` are categories: one column for each value. A text with
      several values, such as "tea|herbal", has 1/2 in the columns of both; so does a list of texts.
    - Numbers and dates are standardised, and clipped to `MAX_DEVIATION`. A missing value is 0, the mean, and has 1 in a
      further column.
    - Lists of numbers, all of the same length, are vectors: each dimension is standardised and clipped, and all are
      divided by the square root of their number, so that a vector has about the same norm as a category. A missing
      vector is 0.

    Columns that are constant, always missing or of another type, and texts with more than `MAX_CATEGORIES` values or
    with a different value in each row, are left out with a warning.

    Args:
        table: one row per item or user; without the column of ids.
        options: which columns, and how they are read.
        name: of the file, for messages.

    Raises:
        DataError: a chosen column does not exist or cannot be a feature, vectors have different lengths or a number
            that is missing or too large, or the matrix would be too large.
    """
    chosen = table.column_names if options.chosen is None else list(options.chosen)
    if missing := [column for column in chosen if column not in table.column_names]:
        raise DataError(
            f"{name}: no column {shortened(missing[0])}; the file has {listed(table.column_names) or 'none'}"
        )
    names: list[str] = []
    blocks: list[NDArray[np.float32]] = []
    cells = 0
    for column in chosen:
        values = table[column].combine_chunks()
        if (reason := _unusable(values)) is None:
            found = _encode(column, values, options, name)
            reason = found if isinstance(found, str) else None
        if reason is not None:
            if options.chosen is not None:
                raise DataError(f"{name}: column {shortened(column)} {reason}, so it cannot be a feature")
            log.warning("%s: column %s %s; it is not used as a feature", name, shortened(column), reason)
            continue
        assert isinstance(found, FeatureMatrix)
        if (cells := cells + found.values.size) > MAX_CELLS:
            raise DataError(
                f"{name}: its features have more than {MAX_CELLS:,} values up to column {shortened(column)}; "
                "choose some with data.item_features or data.user_features"
            )
        names += found.names
        blocks.append(found.values)
    values = np.concatenate(blocks, axis=1) if blocks else np.zeros((len(table), 0), np.float32)
    return FeatureMatrix(names, values)


def kind_of(column: str, values: pa.Array, options: Options) -> str:
    """Return "category", "list", "number", "date", "vector", or "" if a column has another type."""
    kind = values.type
    if is_list(kind):
        return "list" if is_text(kind.value_type) else "vector" if is_number(kind.value_type) else ""
    if is_text(kind):
        texts = values.cast(pa.string())
        has_lists = compute.any(compute.match_substring(texts, options.list_separator)).as_py()
        return "list" if has_lists else "category"
    if pa.types.is_boolean(kind) or (is_number(kind) and column in options.categorical):
        return "category"
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return "date"
    return "number" if is_number(kind) else ""


def as_column(column: str, values: pa.Array, options: Options) -> pd.Series | None:
    """Return a column for filters: numbers, dates, or texts, in which "|" separates several values.

    Returns:
        The column; None for vectors and other types, and, with a warning, for texts with a value that contains "|".
    """
    kind = kind_of(column, values, options)
    if kind == "number":
        return pd.Series(values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))
    if kind == "date":
        return pd.Series(values.cast(pa.timestamp("s"), safe=False).to_numpy(zero_copy_only=False))
    if kind in ("category", "list"):
        lists = _lists(values, kind, options)
        if split := next((text for each in lists for text in each if "|" in text), None):
            log.warning(
                'column %s: the value %s contains "|", so where= cannot use the column, and tables do not show it',
                shortened(column),
                shortened(split),
            )
            return None
        return pd.Series(["|".join(each) for each in lists], dtype=object)
    return None


def _unusable(values: pa.Array) -> str | None:
    """Return why a column cannot be a feature; None if nothing is known yet."""
    if values.null_count == len(values):
        return "has no values"
    if pa.types.is_nested(values.type) or values.null_count or len(values.unique()) > 1:
        return None
    return f"is constant ({shortened(value_of(values[0]))})"


def _encode(column: str, values: pa.Array, options: Options, name: str) -> FeatureMatrix | str:
    """Return the features of a column, or why it has none."""
    kind = kind_of(column, values, options)
    if kind in ("category", "list"):
        return _categories(column, _lists(values, kind, options))
    if kind == "vector":
        return _vectors(column, values, name)
    if not kind:
        return f"has the type {values.type}"
    if kind == "date":
        values = values.cast(pa.timestamp("s"), safe=False).cast(pa.int64())
    numbers = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    missing = np.isnan(numbers)
    if (np.abs(numbers[~missing]) > MAX_NUMBER).any():
        return f"has a number beyond {MAX_NUMBER:g}"
    if missing.all() or np.ptp(numbers[~missing]) == 0:
        return "is constant"
    standard = _standardised(numbers[:, None], ~missing)
    if not missing.any():
        return FeatureMatrix([column], standard)
    both = np.concatenate([standard, missing[:, None].astype(np.float32)], axis=1)
    return FeatureMatrix([column, f"{column} missing"], both)


def _lists(values: pa.Array, kind: str, options: Options) -> list[list[str]]:
    """Return the texts of each row; none where the value is missing."""
    if is_list(values.type):
        return [[text for text in each or [] if text] for each in values.to_pylist()]
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.string())
    texts = values.cast(pa.string()).to_pylist()
    if kind == "category":
        return [[text] if text else [] for text in texts]
    return [
        [part.strip() for part in (text or "").split(options.list_separator) if part.strip()]
        for text in texts
    ]


def _categories(column: str, lists: list[list[str]]) -> FeatureMatrix | str:
    """Return one feature per value, or why the column has none."""
    lengths = np.array([len(each) for each in lists])
    codes, names = pd.factorize(np.array([text for each in lists for text in each], dtype=object), sort=True)
    if not len(names):
        return "has no values"
    if len(names) == 1 and (lengths > 0).all():
        return f"is constant ({shortened(names[0])})"
    if len(names) > MAX_CATEGORIES:
        return f"has {len(names):,} distinct values, more than {MAX_CATEGORIES:,}"
    if len(names) == len(lists) > 1 and (lengths == 1).all():
        return "has a different value in each row"
    if len(names) * len(lists) > MAX_CELLS:
        return f"has {len(names):,} categories for {len(lists):,} rows, which takes too much memory"
    rows = np.repeat(np.arange(len(lists)), lengths)
    values = np.zeros((len(lists), len(names)), np.float32)
    values[rows, codes] = 1
    values /= np.maximum(values.sum(1, keepdims=True), 1)
    return FeatureMatrix([f"{column}={name}" for name in names], values)


def _vectors(column: str, values: pa.Array, name: str) -> FeatureMatrix | str:
    """Return one feature per dimension, or why the column has none."""
    lengths = compute.list_value_length(values)
    low, high = compute.min(lengths).as_py(), compute.max(lengths).as_py()
    if low != high:
        raise DataError(
            f"{name}: column {shortened(column)} has vectors of {low} to {high} numbers; use one length"
        )
    if not high:
        return "has empty vectors"
    if high * len(values) > MAX_CELLS:
        raise DataError(f"{name}: column {shortened(column)} has more than {MAX_CELLS:,} numbers")
    known = values.is_valid().to_numpy(zero_copy_only=False)
    numbers = np.zeros((len(values), high))
    flat = values.drop_null().flatten().cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    numbers[known] = flat.reshape(-1, high)
    if not (np.abs(numbers) <= MAX_NUMBER).all():
        raise DataError(
            f"{name}: column {shortened(column)} has a vector with a number that is missing, not finite, or above "
            f"{MAX_NUMBER:g}"
        )
    standard = _standardised(numbers, known) / np.float32(np.sqrt(high))
    return FeatureMatrix([f"{column}[{position}]" for position in range(high)], standard)


def _standardised(numbers: NDArray[np.float64], known: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return columns with mean 0 and standard deviation 1 over the known rows, 0 in the others."""
    mean, deviation = numbers[known].mean(0), numbers[known].std(0)
    with np.errstate(invalid="ignore"):
        standard = ((numbers - mean) / np.where(deviation > 0, deviation, 1)).clip(
            -MAX_DEVIATION, MAX_DEVIATION
        )
    standard[~known] = 0
    return standard.astype(np.float32)
