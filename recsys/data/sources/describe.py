"""The items and users of side tables: titles, columns for filters, and features."""

import logging
import re
from collections import Counter
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from recsys.data.dataset import USER_COLUMNS
from recsys.data.features import FeatureMatrix, Options, as_column, make_features
from recsys.data.sources.side_table import SideTable
from recsys.errors import DataError, shortened

log = logging.getLogger(__name__)

# Columns of recommendations, which a table cannot replace; title, year and genres are taken from it.
RESERVED = frozenset(
    [
        *("item", "user", "to", "title", "year", "genres"),
        *("prediction", "score", "deviation", "similarity", "ratings", "interactions"),
    ]
)
MAX_YEAR = 9999
MAX_SHOWN = 50  # columns in the log


class Described(NamedTuple):
    """Items or users as `recsys.data.dataset.encode` takes them.

    Attributes:
        table: one row per item or user, with the column of ids ("item" or "user").
        features: those of the rows.
    """

    table: pd.DataFrame
    features: FeatureMatrix


def describe_items(side: SideTable, title: str, options: Options, name: str) -> Described:
    """Return the items of a table: titles, all columns but vectors for filters, and features.

    The title is not used as a feature. Columns called year and genres are used as those of MovieLens.

    Raises:
        DataError: see `make_features`.
    """
    columns: dict[str, pd.Series] = {}
    for column in side.columns.column_names:
        if column == title:
            continue
        values = as_column(column, side.columns[column].combine_chunks(), options)
        if values is not None:
            columns[column] = values
    years, genres = columns.pop("year", None), columns.pop("genres", None)
    known = pd.DataFrame(
        {"item": side.ids} | {name: values for name, values in columns.items() if name not in RESERVED}
    )
    has_title = title in side.columns.column_names
    if has_title and pa.types.is_nested(side.columns[title].type):
        raise DataError(
            f"{name}: column {shortened(title)} has the type {side.columns[title].type}; titles must be text"
        )
    texts = side.columns[title].cast(pa.string()).to_pylist() if has_title else [None] * len(known)
    known["title"] = pd.Series([text or None for text in texts], dtype=object)
    if years is None or years.dtype.kind != "f":
        years = pd.Series(np.nan, index=known.index)
    known["year"] = years.where(years.abs() <= MAX_YEAR).round().astype("Int32")
    known["genres"] = "" if genres is None or genres.dtype.kind == "f" else genres
    without_title = side.columns.drop_columns([title]) if has_title else side.columns
    features = make_features(without_title, options, name)
    _log_features(features, name)
    return Described(known, features)


def describe_users(side: SideTable, options: Options, name: str) -> Described:
    """Return the users of a table, and their features.

    Raises:
        DataError: see `make_features`.
    """
    table = pd.DataFrame({"user": side.ids, **dict.fromkeys(USER_COLUMNS, "")})
    features = make_features(side.columns, options, name)
    _log_features(features, name)
    return Described(table, features)


def _log_features(features: FeatureMatrix, name: str) -> None:
    """Log which columns became features, with the number of features of each."""
    sizes = Counter(re.sub(r"(=.*|\[\d+\]| missing)$", "", feature, flags=re.S) for feature in features.names)
    shown = [f"{shortened(column, quoted=False)} ({size})" for column, size in sizes.items()]
    more = f" and {len(shown) - MAX_SHOWN} more columns" if len(shown) > MAX_SHOWN else ""
    log.info("%s: features %s%s", name, ", ".join(shown[:MAX_SHOWN]) or "none", more)
