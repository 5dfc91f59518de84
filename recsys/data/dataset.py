"""Dataset: encoded ratings with their users and items, in memory and on disk."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import infer_dtype

from recsys.data.features import FeatureMatrix
from recsys.data.fingerprint import hash_rows
from recsys.data.ids import CHUNK, IdMap, text_id_problem
from recsys.errors import DataError, shortened

USER_COLUMNS = ["gender", "age", "occupation"]  # text; empty if unknown


@dataclass(frozen=True, eq=False)
class Dataset:
    """Encoded ratings: n rows of (user index, item index, rating, timestamp), with ids, items and users.

    Attributes:
        name: the name of the data set, such as "ml-100k".
        users: the user index of every rating, shape (n,), int32.
        items: the item index of every rating, shape (n,), int32.
        ratings: values on `scale`, shape (n,), float32.
        timestamps: seconds since 1970, 0 if unknown, shape (n,), int64.
        user_ids: raw user ids by user index.
        item_ids: raw item ids by item index: those with at least one rating, and those of a table of items.
        item_table: one row per item index: title, year (missing if unknown), genres ("Drama|War"), and the columns of a
            table of items.
        user_table: one row per user index: gender, age and occupation as text, empty if unknown.
        scale: the lowest and the highest possible rating.
        sha256: hash of the raw rating rows in their order.
        dropped: the number of bad rows that were skipped (on_bad_rows=drop).
        has_ratings: whether rows have ratings; otherwise each is an interaction, and `ratings` are their numbers.
        id_columns: the names of the user and the item column in the file; those of `recsys-recommend` may use them.
        item_features: features by item index; None: they follow from the item table, see `recsys.models.features`.
        user_features: features by user index; None: they follow from the user table.
        parts: how many rows are from each file, if there are several.
    """

    name: str
    users: NDArray[np.int32]
    items: NDArray[np.int32]
    ratings: NDArray[np.float32]
    timestamps: NDArray[np.int64]
    user_ids: IdMap
    item_ids: IdMap
    item_table: pd.DataFrame
    user_table: pd.DataFrame
    scale: tuple[float, float]
    sha256: str
    dropped: int = 0
    has_ratings: bool = True
    id_columns: tuple[str, str] = ("user", "item")
    item_features: FeatureMatrix | None = None
    user_features: FeatureMatrix | None = None
    parts: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.ratings)

    @property
    def has_timestamps(self) -> bool:
        """Whether the time of every rating is known."""
        return bool(len(self)) and bool((np.asarray(self.timestamps) > 0).all())


def encode(
    name: str,
    ratings: pd.DataFrame,
    item_table: pd.DataFrame,
    scale: Sequence[float],
    dropped: int = 0,
    user_table: pd.DataFrame | None = None,
    has_ratings: bool = True,
    id_columns: tuple[str, str] = ("user", "item"),
    item_features: FeatureMatrix | None = None,
    user_features: FeatureMatrix | None = None,
    parts: tuple[int, ...] = (),
) -> Dataset:
    """Make a dataset from raw tables: replace raw ids by user indices and item indices.

    Args:
        name: the name of the data set.
        ratings: columns user, item, rating, timestamp (0 if unknown).
        item_table: columns item, title, year, genres, and any others. A rated item that is missing here gets the title
            "item <id>". Items without ratings are ignored, unless there are features.
        scale: the lowest and the highest possible rating.
        dropped: the number of bad rows that were skipped.
        user_table: columns user, gender, age, occupation; None if nothing is known about the users.
        has_ratings: whether rows have ratings; otherwise they are interactions, and the ratings their numbers.
        id_columns: the names of the user and the item column in the file.
        item_features: features of the rows of `item_table`; items without ratings then get an index, too.
        user_features: features of the rows of `user_table`; users without ratings then get an index, too.
        parts: how many rows are from each file, if there are several.

    Raises:
        DataError: an id is not possible.
    """
    raw_users, raw_items = raw_ids(ratings["user"]), raw_ids(ratings["item"])
    more_users, more_items = raw_users[:0], raw_items[:0]
    if user_features is not None and user_table is not None:
        raw_users, more_users = _of_one_kind(raw_users, raw_ids(user_table["user"]))
        user_table = user_table.assign(user=more_users)
    if item_features is not None:
        raw_items, more_items = _of_one_kind(raw_items, raw_ids(item_table["item"]))
        item_table = item_table.assign(item=more_items)
    values = ratings["rating"].to_numpy(np.float32)
    timestamps = ratings["timestamp"].to_numpy(np.int64)
    with ThreadPoolExecutor(1) as pool:  # hashing takes as long as everything else
        sha256 = pool.submit(hash_rows, raw_users, raw_items, values, timestamps)
        user_ids, users = _encode_ids(raw_users, "user", more_users)
        item_ids, items = _encode_ids(raw_items, "item", more_items)
        encoded_items = _encode_item_table(item_table, item_ids)
        encoded_users = _encode_user_table(user_table, user_ids)
    return Dataset(
        name=name,
        users=users,
        items=items,
        ratings=values,
        timestamps=timestamps,
        user_ids=user_ids,
        item_ids=item_ids,
        item_table=encoded_items,
        user_table=encoded_users,
        scale=(float(scale[0]), float(scale[1])),
        sha256=sha256.result(),
        dropped=dropped,
        has_ratings=has_ratings,
        id_columns=id_columns,
        item_features=_by_index(item_features, item_ids, more_items),
        user_features=_by_index(user_features, user_ids, more_users),
        parts=parts,
    )


def _encode_item_table(item_table: pd.DataFrame, ids: IdMap) -> pd.DataFrame:
    """Return one row per item index."""
    known = item_table.drop_duplicates("item").set_index("item")
    table = known.reindex(ids.ids).reset_index(drop=True)
    default_titles = pd.Series([default_title(id) for id in ids.ids])
    for column, default in (("title", default_titles), ("genres", "")):
        values = table[column].astype(object)  # the columns of an empty table have no usable type
        table[column] = values.where(values.notna(), default).astype(str)
    table["year"] = table["year"].astype("Int32")
    for column in table.columns:
        if table[column].dtype == object:
            table[column] = table[column].fillna("").astype(str)
    return table


def default_title(id: object) -> str:
    """Return the title of an item without one."""
    return f"item {id}"


def _encode_user_table(user_table: pd.DataFrame | None, ids: IdMap) -> pd.DataFrame:
    """Return one row per user index."""
    if user_table is None:
        user_table = pd.DataFrame(columns=["user", *USER_COLUMNS])
    table = user_table.drop_duplicates("user").set_index("user")[USER_COLUMNS].reindex(ids.ids)
    return table.reset_index(drop=True).astype(object).fillna("").astype(str)


def raw_ids(ids: pd.Series) -> NDArray:
    """Return ids as an array of integers, or of text as Python objects.

    Raises:
        DataError: there are others.
    """
    if ids.dtype.kind in "iu":
        return ids.to_numpy()
    objects = ids.to_numpy(object)
    kind = infer_dtype(objects, skipna=False)
    if kind == "integer":
        return objects.astype(np.int64)
    if kind not in ("string", "empty"):
        raise DataError(
            f"column {ids.name!r}: ids must be whole numbers or text without missing values, not {kind}"
        )
    return objects


def _of_one_kind(ids: NDArray, others: NDArray) -> tuple[NDArray, NDArray]:
    """Return both as text if only one of them is integers."""
    if (ids.dtype == object) == (others.dtype == object):
        return ids, others
    return ids.astype(str).astype(object), others.astype(str).astype(object)


def _encode_ids(raw: NDArray, name: str, more: NDArray) -> tuple[IdMap, NDArray[np.int32]]:
    """Return the distinct ids of `raw` and `more`, and the index of each element of `raw`."""
    if raw.dtype == object:
        codes, distinct = pd.factorize(np.concatenate([raw, more]), sort=True)
        for id in distinct:
            if (problem := text_id_problem(id)) is not None:
                raise DataError(f"column {name!r}: id {shortened(id)} {problem}")
        return IdMap(distinct, name), codes[: len(raw)].astype(np.int32)
    ids = IdMap.from_values(np.concatenate([raw, more]) if len(more) else raw, name)
    indices = np.empty(len(raw), dtype=np.int32)
    for start in range(0, len(raw), CHUNK):
        indices[start : start + CHUNK] = ids.to_indices(raw[start : start + CHUNK])
    return ids, indices


def _by_index(features: FeatureMatrix | None, ids: IdMap, rows: NDArray) -> FeatureMatrix | None:
    """Return the features of `rows` (raw ids) by index; 0 for ids that are not among them."""
    if features is None:
        return None
    values = np.zeros((len(ids), features.values.shape[1]), np.float32)
    values[ids.to_indices(rows)] = features.values
    return FeatureMatrix(features.names, values)
