"""Hashes that tell whether data has changed since a run was trained."""

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute

from recsys.data.features import FeatureMatrix
from recsys.data.ids import CHUNK

if TYPE_CHECKING:
    from recsys.data.dataset import Dataset

HASHED_BYTES = 2**20  # of text ids at once: every id takes as many bytes as the longest


def fingerprint(dataset: "Dataset") -> str:
    """Return a hash of all that a network is trained on: rating rows, the order of the ids, and features.

    Titles are not part of it, nor are columns of tables that are not features.
    """
    digest = hashlib.sha256(dataset.sha256.encode())
    digest.update(hash_rows(dataset.user_ids.ids, dataset.item_ids.ids).encode())
    digest.update(_feature_bytes(dataset.user_features, dataset.user_table))
    digest.update(
        _feature_bytes(dataset.item_features, dataset.item_table.reindex(columns=["year", "genres"]))
    )
    return digest.hexdigest()


def _feature_bytes(features: FeatureMatrix | None, table: pd.DataFrame) -> bytes:
    """Return the features as bytes; without any, the columns that they follow from."""
    if features is None:
        return table.to_json(orient="values").encode()
    return "\0".join(features.names).encode() + np.ascontiguousarray(features.values).tobytes()


def hash_rows(users: NDArray, items: NDArray, *columns: NDArray) -> str:
    """Hash all columns one after the other: integer ids of any type as int64; text ids as UTF-8, padded with zeros.

    Before text ids come their number and their width, because otherwise other ids could have the same bytes.
    """
    digest = hashlib.sha256()
    for ids in (users, items):
        if ids.dtype.kind in "iu":
            for start in range(0, len(ids), CHUNK):
                digest.update(ids[start : start + CHUNK].astype(np.int64).data)
        else:
            width = compute.max(compute.binary_length(pa.array(pd.unique(ids), pa.string()))).as_py() or 1
            digest.update(f"{len(ids)} texts of {width} bytes:".encode())
            rows = max(HASHED_BYTES // width, 1)
            for start in range(0, len(ids), rows):
                texts = [id.encode() for id in ids[start : start + rows]]
                digest.update(np.array(texts, f"S{width}").data)
    for column in columns:
        digest.update(np.ascontiguousarray(column).data)
    return digest.hexdigest()
