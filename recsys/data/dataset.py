"""Dataset: the one currency that passes through every later stage, and its memory-mapped form on disk."""

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
from pyarrow import feather

from recsys.atomic import flush
from recsys.data.ids import PIECE, IdMap

CACHE_FORMAT = 2  # raised whenever the encoded files change, so that older ones are made anew
TRAITS = ["gender", "age", "occupation"]  # of users, as text; empty where a data set does not tell


@dataclass(frozen=True, eq=False)
class Dataset:
    """Encoded ratings: n rows of (user row, item row, rating, timestamp), and what the rows stand for.

    Attributes:
        name: the data set's name, such as "ml-100k".
        users: shape (n,), int32; the user row of every rating.
        items: shape (n,), int32; the item row of every rating.
        ratings: shape (n,), float32; on `scale`.
        timestamps: shape (n,), int64; seconds since 1970, 0 where unknown.
        user_ids: raw user ids.
        item_ids: raw ids of the items that have at least one rating.
        item_table: one line per item row: title, year (missing where unknown), genres ("Drama|War").
        user_table: one line per user row: gender, age and occupation as text, empty where unknown.
        scale: the lowest and the highest rating possible.
        sha256: of the raw rating rows, in their order.
        dropped: how many bad rows were left out on the user's word.
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

    def __len__(self) -> int:
        return len(self.ratings)

    @property
    def has_timestamps(self) -> bool:
        """Whether every rating has a known time."""
        return bool(len(self)) and bool((np.asarray(self.timestamps) > 0).all())


def encode(
    name: str,
    ratings: pd.DataFrame,
    item_table: pd.DataFrame,
    scale: Sequence[float],
    dropped: int = 0,
    user_table: pd.DataFrame | None = None,
) -> Dataset:
    """Replace raw ids by rows.

    Args:
        name: the data set's name.
        ratings: columns user, item, rating, timestamp (0: unknown).
        item_table: columns item, title, year, genres; items without a rating are left out, and a rated item
            that is missing here is called by its id.
        scale: the lowest and the highest rating possible.
        dropped: passed on.
        user_table: columns user, gender, age, occupation, or None where nothing is known of them.
    """
    raw_users, raw_items = _plain(ratings["user"]), _plain(ratings["item"])
    values = ratings["rating"].to_numpy(np.float32)
    timestamps = ratings["timestamp"].to_numpy(np.int64)
    with ThreadPoolExecutor(1) as pool:  # the fingerprint takes as long as all the rest
        fingerprint = pool.submit(_fingerprint, raw_users, raw_items, values, timestamps)
        user_ids, users = _encode(raw_users, "user")
        item_ids, item_rows = _encode(raw_items, "item")
        catalogue, traits = _catalogue(item_table, item_ids), _traits(user_table, user_ids)
    return Dataset(
        name=name,
        users=users,
        items=item_rows,
        ratings=values,
        timestamps=timestamps,
        user_ids=user_ids,
        item_ids=item_ids,
        item_table=catalogue,
        user_table=traits,
        scale=(float(scale[0]), float(scale[1])),
        sha256=fingerprint.result(),
        dropped=dropped,
    )


def _catalogue(items: pd.DataFrame, ids: IdMap) -> pd.DataFrame:
    """What is known of every item row."""
    known = items.drop_duplicates("item").set_index("item")[["title", "year", "genres"]]
    catalogue = known.reindex(ids.ids).reset_index(drop=True)
    fallback = pd.Series([f"item {id}" for id in ids.ids])
    for column, missing in (("title", fallback), ("genres", "")):
        found = catalogue[column].astype(object)  # a frame without any item has columns of no type
        catalogue[column] = found.where(found.notna(), missing).astype(str)
    catalogue["year"] = catalogue["year"].astype("Int32")
    return catalogue


def _traits(user_table: pd.DataFrame | None, ids: IdMap) -> pd.DataFrame:
    """What is known of every user row."""
    if user_table is None:
        user_table = pd.DataFrame(columns=["user", *TRAITS])
    traits = user_table.drop_duplicates("user").set_index("user")[TRAITS].reindex(ids.ids)
    return traits.reset_index(drop=True).astype(object).fillna("").astype(str)


def save(dataset: Dataset, folder: Path) -> None:
    """Write the dataset to `folder`: whole, or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".writing-"))
    try:
        columns = {column: getattr(dataset, column) for column in ("users", "items", "ratings", "timestamps")}
        # One uncompressed record batch, so that the columns can be mapped into memory as they lie.
        table, rows = pa.table(columns), max(len(dataset), 1)
        feather.write_feather(
            table, str(temporary / "ratings.arrow"), compression="uncompressed", chunksize=rows
        )
        users = dataset.user_table.assign(id=dataset.user_ids.ids)
        feather.write_feather(users, str(temporary / "users.arrow"))
        items = dataset.item_table.assign(id=dataset.item_ids.ids)
        feather.write_feather(items, str(temporary / "movies.arrow"))
        facts = {key: getattr(dataset, key) for key in ("name", "scale", "sha256", "dropped")}
        (temporary / "dataset.json").write_text(json.dumps(facts))
        for file in temporary.iterdir():
            flush(file)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def load(folder: Path) -> Dataset:
    """Map a saved dataset into memory; no rating is read until it is used."""
    facts = json.loads((folder / "dataset.json").read_text())
    table = feather.read_table(str(folder / "ratings.arrow"), memory_map=True)
    columns = {name: table[name].chunk(0).to_numpy() for name in table.column_names} if len(table) else {}
    users = feather.read_feather(str(folder / "users.arrow"))
    items = feather.read_feather(str(folder / "movies.arrow"))
    return Dataset(
        **{**facts, "scale": tuple(facts["scale"])},
        **columns,
        user_ids=IdMap(_plain(users.pop("id")), "user"),
        item_ids=IdMap(_plain(items.pop("id")), "item"),
        item_table=items,
        user_table=users,
    )


def _plain(ids: pd.Series) -> NDArray:
    """Ids as whole numbers, or as numpy text."""
    return ids.to_numpy() if ids.dtype.kind in "iu" else ids.to_numpy().astype(str)


def _encode(raw: NDArray, name: str) -> tuple[IdMap, NDArray[np.int32]]:
    """The ids there are, and the row of each one in `raw`; by pieces."""
    ids, rows = IdMap.from_values(raw, name), np.empty(len(raw), dtype=np.int32)
    for start in range(0, len(raw), PIECE):
        rows[start : start + PIECE] = ids.to_rows(raw[start : start + PIECE])
    return ids, rows


def _fingerprint(users: NDArray, items: NDArray, *columns: NDArray) -> str:
    """Of all columns, one after the other; ids as UTF-8 or as 64 bits, however they are kept."""
    digest = hashlib.sha256()
    for ids in (users, items):
        if ids.dtype.kind in "iu":
            for start in range(0, len(ids), PIECE):
                digest.update(ids[start : start + PIECE].astype(np.int64).data)
        else:
            digest.update(np.char.encode(ids, "utf-8").data)
    for column in columns:
        digest.update(np.ascontiguousarray(column).data)
    return digest.hexdigest()
