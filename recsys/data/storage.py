"""Datasets on disk: written once, then mapped into memory."""

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import feather

from recsys.atomic import flush
from recsys.data.dataset import Dataset, raw_ids
from recsys.data.features import FeatureMatrix
from recsys.data.ids import IdMap

CACHE_FORMAT = 8  # increase it when `save` or a reader changes: older files are then encoded again
FACTS = ("name", "scale", "sha256", "dropped", "has_ratings", "id_columns", "parts")  # in dataset.json


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
        for side in ("item_features", "user_features"):
            if (features := getattr(dataset, side)) is not None:
                facts[side] = features.names
                np.save(temporary / f"{side}.npy", features.values)
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
    for side in ("item_features", "user_features"):
        if side in facts:
            facts[side] = FeatureMatrix(facts[side], np.load(folder / f"{side}.npy"))
    users = feather.read_feather(str(folder / "users.arrow"))
    items = feather.read_feather(str(folder / "items.arrow"))
    for key in ("scale", "parts", "id_columns"):
        facts[key] = tuple(facts[key])
    return Dataset(
        **facts,
        **columns,
        user_ids=IdMap(raw_ids(users.pop("id")), "user"),
        item_ids=IdMap(raw_ids(items.pop("id")), "item"),
        item_table=items,
        user_table=users,
    )
