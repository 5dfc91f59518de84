"""Dataset: encoded ratings with their users and items, in memory and on disk."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pandas.api.types import infer_dtype
from pyarrow import compute, feather

from recsys.atomic import flush
from recsys.data.ids import CHUNK, IdMap, text_id_problem
from recsys.errors import DataError, shortened

CACHE_FORMAT = 5  # increase it when `save` or a reader changes: older files are then encoded again
FACTS = ("name", "scale", "sha256", "dropped", "has_ratings", "item_column")  # in dataset.json
HASHED_BYTES = 2**20  # of text ids at once: every id takes as many bytes as the longest
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
        item_ids: raw item ids by item index; only items with at least one rating have an index.
        item_table: one row per item index: title, year (missing if unknown), genres ("Drama|War").
        user_table: one row per user index: gender, age and occupation as text, empty if unknown.
        scale: the lowest and the highest possible rating.
        sha256: hash of the raw rating rows in their order.
        dropped: the number of bad rows that were skipped (on_bad_rows=drop).
        has_ratings: whether rows have ratings; otherwise each is an interaction, and `ratings` are their numbers.
        item_column: the name of the item column in the file, which files of new users may use, too.
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
    item_column: str = "item"

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
    item_column: str = "item",
) -> Dataset:
    """Make a dataset from raw tables: replace raw ids by user indices and item indices.

    Args:
        name: the name of the data set.
        ratings: columns user, item, rating, timestamp (0 if unknown).
        item_table: columns item, title, year, genres. Items without ratings are ignored. A rated item that is
            missing here gets the title "item <id>".
        scale: the lowest and the highest possible rating.
        dropped: the number of bad rows that were skipped.
        user_table: columns user, gender, age, occupation; None if nothing is known about the users.
        has_ratings: whether rows have ratings; otherwise they are interactions, and the ratings their numbers.
        item_column: the name of the item column in the file.
    """
    raw_users, raw_items = _raw_ids(ratings["user"]), _raw_ids(ratings["item"])
    values = ratings["rating"].to_numpy(np.float32)
    timestamps = ratings["timestamp"].to_numpy(np.int64)
    with ThreadPoolExecutor(1) as pool:  # hashing takes as long as everything else
        sha256 = pool.submit(_hash_rows, raw_users, raw_items, values, timestamps)
        user_ids, users = _encode_ids(raw_users, "user")
        item_ids, items = _encode_ids(raw_items, "item")
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
        item_column=item_column,
    )


def _encode_item_table(item_table: pd.DataFrame, ids: IdMap) -> pd.DataFrame:
    """Return one row per item index."""
    known = item_table.drop_duplicates("item").set_index("item")[["title", "year", "genres"]]
    table = known.reindex(ids.ids).reset_index(drop=True)
    default_titles = pd.Series([default_title(id) for id in ids.ids])
    for column, default in (("title", default_titles), ("genres", "")):
        values = table[column].astype(object)  # the columns of an empty table have no usable type
        table[column] = values.where(values.notna(), default).astype(str)
    table["year"] = table["year"].astype("Int32")
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


def save(dataset: Dataset, folder: Path) -> None:
    """Write a dataset to `folder` atomically: under a temporary name, then renamed."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=temporary_prefix(folder)))
    try:
        columns = {column: getattr(dataset, column) for column in ("users", "items", "ratings", "timestamps")}
        # One uncompressed record batch: `load` can then map each column into memory as one array.
        table, rows = pa.table(columns), max(len(dataset), 1)
        feather.write_feather(
            table, str(temporary / "ratings.arrow"), compression="uncompressed", chunksize=rows
        )
        users = dataset.user_table.assign(id=dataset.user_ids.ids)
        feather.write_feather(users, str(temporary / "users.arrow"))
        items = dataset.item_table.assign(id=dataset.item_ids.ids)
        feather.write_feather(items, str(temporary / "items.arrow"))
        facts = {key: getattr(dataset, key) for key in FACTS}
        (temporary / "dataset.json").write_text(json.dumps(facts), "utf-8")
        for file in temporary.iterdir():
            flush(file)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def temporary_prefix(folder: Path) -> str:
    """Return how the names of the temporary folders begin in which `save` writes a dataset."""
    return f".{folder.name}.writing-"


def load(folder: Path) -> Dataset:
    """Load a dataset written by `save`. The rating columns are memory-mapped: they are read when used."""
    facts = json.loads((folder / "dataset.json").read_text("utf-8"))
    table = feather.read_table(str(folder / "ratings.arrow"), memory_map=True)
    columns = {name: table[name].chunk(0).to_numpy() for name in table.column_names} if len(table) else {}
    users = feather.read_feather(str(folder / "users.arrow"))
    items = feather.read_feather(str(folder / "items.arrow"))
    return Dataset(
        **{**facts, "scale": tuple(facts["scale"])},
        **columns,
        user_ids=IdMap(_raw_ids(users.pop("id")), "user"),
        item_ids=IdMap(_raw_ids(items.pop("id")), "item"),
        item_table=items,
        user_table=users,
    )


def _raw_ids(ids: pd.Series) -> NDArray:
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


def _encode_ids(raw: NDArray, name: str) -> tuple[IdMap, NDArray[np.int32]]:
    """Return the distinct ids of `raw`, and the index of each element of `raw`."""
    if raw.dtype == object:
        codes, distinct = pd.factorize(raw, sort=True)
        for id in distinct:
            if (problem := text_id_problem(id)) is not None:
                raise DataError(f"column {name!r}: id {shortened(id)} {problem}")
        return IdMap(distinct, name), codes.astype(np.int32)
    ids, indices = IdMap.from_values(raw, name), np.empty(len(raw), dtype=np.int32)
    for start in range(0, len(raw), CHUNK):
        indices[start : start + CHUNK] = ids.to_indices(raw[start : start + CHUNK])
    return ids, indices


def _hash_rows(users: NDArray, items: NDArray, *columns: NDArray) -> str:
    """Hash all columns one after the other: integer ids of any type as int64; text ids as UTF-8, padded with zeros.

    Before text ids come their number and their width, because otherwise other ids could have the same bytes.
    """
    digest = hashlib.sha256()
    for ids in (users, items):
        if ids.dtype.kind in "iu":
            for start in range(0, len(ids), CHUNK):
                digest.update(ids[start : start + CHUNK].astype(np.int64).data)
        else:
            width = compute.max(compute.binary_length(pa.array(ids, pa.string()))).as_py() or 1
            digest.update(f"{len(ids)} texts of {width} bytes:".encode())
            rows = max(HASHED_BYTES // width, 1)
            for start in range(0, len(ids), rows):
                texts = [id.encode() for id in ids[start : start + rows]]
                digest.update(np.array(texts, f"S{width}").data)
    for column in columns:
        digest.update(np.ascontiguousarray(column).data)
    return digest.hexdigest()
