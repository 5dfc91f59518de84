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

from recsys.data.ids import PIECE, IdMap
from recsys.files import flush

CACHE_FORMAT = 2  # raised whenever the encoded files change, so that older ones are made anew
TRAITS = ["gender", "age", "occupation"]  # of people, as text; empty where a data set does not tell


@dataclass(frozen=True, eq=False)
class Dataset:
    """Encoded ratings: n rows of (user row, movie row, rating, timestamp), and what the rows stand for.

    Attributes:
        name: the data set's name, such as "ml-100k".
        users: shape (n,), int32; the user row of every rating.
        movies: shape (n,), int32; the movie row of every rating.
        ratings: shape (n,), float32; on `scale`.
        timestamps: shape (n,), int64; seconds since 1970, 0 where unknown.
        user_ids: raw user ids.
        movie_ids: raw ids of the movies that have at least one rating.
        catalogue: one line per movie row: title, year (missing where unknown), genres ("Drama|War").
        people: one line per user row: gender, age and occupation as text, empty where unknown.
        scale: the lowest and the highest rating possible.
        sha256: of the raw rating rows, in their order.
        dropped: how many bad rows were left out on the user's word.
    """

    name: str
    users: NDArray[np.int32]
    movies: NDArray[np.int32]
    ratings: NDArray[np.float32]
    timestamps: NDArray[np.int64]
    user_ids: IdMap
    movie_ids: IdMap
    catalogue: pd.DataFrame
    people: pd.DataFrame
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
    movies: pd.DataFrame,
    scale: Sequence[float],
    dropped: int = 0,
    people: pd.DataFrame | None = None,
) -> Dataset:
    """Replace raw ids by rows.

    Args:
        name: the data set's name.
        ratings: columns user, movie, rating, timestamp (0: unknown).
        movies: columns movie, title, year, genres; movies without a rating are left out, and a rated movie
            that is missing here is called by its id.
        scale: the lowest and the highest rating possible.
        dropped: passed on.
        people: columns user, gender, age, occupation, or None where nothing is known of them.
    """
    raw_users, raw_movies = _plain(ratings["user"]), _plain(ratings["movie"])
    values = ratings["rating"].to_numpy(np.float32)
    timestamps = ratings["timestamp"].to_numpy(np.int64)
    with ThreadPoolExecutor(1) as pool:  # the fingerprint takes as long as all the rest
        fingerprint = pool.submit(_fingerprint, raw_users, raw_movies, values, timestamps)
        user_ids, users = _encode(raw_users, "user")
        movie_ids, movie_rows = _encode(raw_movies, "movie")
        catalogue, traits = _catalogue(movies, movie_ids), _traits(people, user_ids)
    return Dataset(
        name=name,
        users=users,
        movies=movie_rows,
        ratings=values,
        timestamps=timestamps,
        user_ids=user_ids,
        movie_ids=movie_ids,
        catalogue=catalogue,
        people=traits,
        scale=(float(scale[0]), float(scale[1])),
        sha256=fingerprint.result(),
        dropped=dropped,
    )


def _catalogue(movies: pd.DataFrame, ids: IdMap) -> pd.DataFrame:
    """What is known of every movie row."""
    known = movies.drop_duplicates("movie").set_index("movie")[["title", "year", "genres"]]
    catalogue = known.reindex(ids.ids).reset_index(drop=True)
    fallback = pd.Series([f"movie {id}" for id in ids.ids])
    for column, missing in (("title", fallback), ("genres", "")):
        found = catalogue[column].astype(object)  # a frame without any movie has columns of no type
        catalogue[column] = found.where(found.notna(), missing).astype(str)
    catalogue["year"] = catalogue["year"].astype("Int32")
    return catalogue


def _traits(people: pd.DataFrame | None, ids: IdMap) -> pd.DataFrame:
    """What is known of every user row."""
    if people is None:
        people = pd.DataFrame(columns=["user", *TRAITS])
    traits = people.drop_duplicates("user").set_index("user")[TRAITS].reindex(ids.ids)
    return traits.reset_index(drop=True).astype(object).fillna("").astype(str)


def save(dataset: Dataset, folder: Path) -> None:
    """Write the dataset to `folder`: whole, or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".writing-"))
    try:
        columns = {
            column: getattr(dataset, column) for column in ("users", "movies", "ratings", "timestamps")
        }
        # One uncompressed record batch, so that the columns can be mapped into memory as they lie.
        table, rows = pa.table(columns), max(len(dataset), 1)
        feather.write_feather(
            table, str(temporary / "ratings.arrow"), compression="uncompressed", chunksize=rows
        )
        users = dataset.people.assign(id=dataset.user_ids.ids)
        feather.write_feather(users, str(temporary / "users.arrow"))
        movies = dataset.catalogue.assign(id=dataset.movie_ids.ids)
        feather.write_feather(movies, str(temporary / "movies.arrow"))
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
    movies = feather.read_feather(str(folder / "movies.arrow"))
    return Dataset(
        **{**facts, "scale": tuple(facts["scale"])},
        **columns,
        user_ids=IdMap(_plain(users.pop("id")), "user"),
        movie_ids=IdMap(_plain(movies.pop("id")), "movie"),
        catalogue=movies,
        people=users,
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


def _fingerprint(users: NDArray, movies: NDArray, *columns: NDArray) -> str:
    """Of all columns, one after the other; ids as UTF-8 or as 64 bits, however they are kept."""
    digest = hashlib.sha256()
    for ids in (users, movies):
        if ids.dtype.kind in "iu":
            for start in range(0, len(ids), PIECE):
                digest.update(ids[start : start + PIECE].astype(np.int64).data)
        else:
            digest.update(np.char.encode(ids, "utf-8").data)
    for column in columns:
        digest.update(np.ascontiguousarray(column).data)
    return digest.hexdigest()
