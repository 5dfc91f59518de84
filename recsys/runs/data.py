"""data.pt: the items, which items each user has rated, and biases, saved in the run folder for recommending.

With it, a run can recommend on any machine, even if its ratings file was changed or deleted. Evaluating and resuming
read the ratings again (`recsys.runs.ratings`).
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from recsys.data.batches import present
from recsys.data.biases import Biases
from recsys.data.dataset import Dataset
from recsys.data.sources.describe import RESERVED
from recsys.data.splits import Split
from recsys.errors import RunError
from recsys.models.scoring import Seen
from recsys.runs.folder import FORMAT
from recsys.runs.torch_file import check_tensor, read_torch_file, require_format, unreadable, write_torch_file

DATA = "data.pt"
NO_YEAR = -(2**15)
INDEX_TYPES = (torch.uint8, torch.uint16, torch.int32)  # of the item indices: the smallest that fits


@dataclass(frozen=True, eq=False)
class RunData:
    """The users and items of a run, by index.

    Attributes:
        name: the name of the data set.
        item_table: title, year (missing if unknown) and genres ("Drama|War") of each item, and further columns of
            numbers, dates or text.
        seen: the items that each user has rated, in any subset.
        biases: the bias model of the training set.
        trained_users: bool (n_users,); which users have training ratings.
        trained_items: bool (n_items,); which items have training ratings.
        has_ratings: whether rows have ratings; otherwise they are interactions.
        id_columns: the names of the user and the item column in the data; files of `recsys-recommend` may use them.
    """

    name: str
    item_table: pd.DataFrame
    seen: Seen
    biases: Biases
    trained_users: Tensor
    trained_items: Tensor
    has_ratings: bool = True
    id_columns: tuple[str, str] = ("user", "item")

    @classmethod
    def of(cls, dataset: Dataset, split: Split, biases: Biases) -> "RunData":
        """Collect the data of a run; `biases` are those of the training set."""
        n_users, n_items = len(dataset.user_ids), len(dataset.item_ids)
        return cls(
            dataset.name,
            dataset.item_table,
            Seen.of(dataset.users, dataset.items, n_users),
            biases,
            present(dataset.users[split.train], n_users),
            present(dataset.items[split.train], n_items),
            dataset.has_ratings,
            dataset.id_columns,
        )

    @property
    def user_counts(self) -> NDArray[np.int64]:
        """Number of ratings of every user, (n_users,)."""
        return self.seen.starts.diff().numpy()

    @property
    def item_counts(self) -> NDArray[np.int64]:
        """Number of ratings of every item, (n_items,)."""
        return np.bincount(self.seen.items.numpy(), minlength=len(self.item_table))


def save_data(data: RunData, folder: Path, fingerprints: Sequence[str]) -> int:
    """Write data.pt atomically, and return its size in bytes.

    The size is 1, 2 or 4 bytes per rating for at most 256, 65,536 or more items, 17 bytes per user, and 11 bytes
    plus title and genres per item.

    Args:
        data: the data of the run.
        folder: the run folder.
        fingerprints: those of the data and of its split, as in the checkpoints.
    """
    years = data.item_table["year"].fillna(NO_YEAR).to_numpy(np.int16)
    n_items = len(data.item_table)
    index_type = next(kind for kind in INDEX_TYPES if n_items - 1 <= torch.iinfo(kind).max)
    # One JSON string for all titles, and one for all genres: torch reads each string of a list as slowly as a tensor.
    content = {
        "format": FORMAT,
        "data": list(fingerprints),
        "name": data.name,
        "titles": json.dumps(data.item_table["title"].tolist()),
        "genres": json.dumps(data.item_table["genres"].tolist()),
        "years": torch.from_numpy(years),
        "seen_items": data.seen.items.to(index_type),
        "seen_starts": data.seen.starts,
        "mean": data.biases.mean,
        "user_biases": torch.from_numpy(data.biases.users),
        "item_biases": torch.from_numpy(data.biases.items),
        "trained_users": data.trained_users,
        "trained_items": data.trained_items,
        "has_ratings": data.has_ratings,
        "id_columns": list(data.id_columns),
        **_columns_to_plain(data.item_table),
    }
    write_torch_file(content, folder / DATA)
    return (folder / DATA).stat().st_size


def load_data(folder: Path, fingerprints: Sequence[str], n_users: int, n_items: int) -> RunData:
    """Read data.pt of a run folder, which may be untrusted.

    Args:
        folder: the run folder.
        fingerprints: those of the checkpoint.
        n_users: number of users of the checkpoint.
        n_items: number of items of the checkpoint.

    Raises:
        RunError: the file is missing or damaged, or does not belong to the checkpoint.
    """
    path = folder / DATA
    if not path.is_file():
        raise RunError(f"{path}: missing, so the run cannot recommend; train again, or copy the whole folder")
    content = read_torch_file(path)
    try:
        require_format(path, content)
        if content["data"] != list(fingerprints):
            raise RunError(f"{path}: belongs to another run than its checkpoint")
        return _parse(content, n_users, n_items)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise unreadable(path, error) from None


def _parse(content: dict[str, Any], n_users: int, n_items: int) -> RunData:
    """Build the data of a run from the content of data.pt.

    Raises:
        ValueError: a value has the wrong type, length or range.
    """

    def column(key: str, length: int | None, *dtypes: torch.dtype) -> Tensor:
        return check_tensor(content[key], (length,), dtypes)

    items = column("seen_items", None, *INDEX_TYPES).long()
    starts = column("seen_starts", n_users + 1, torch.int64)
    if len(items) and not 0 <= int(items.min()) <= int(items.max()) < n_items:
        raise ValueError("an item index is out of range")
    if int(starts[0]) != 0 or int(starts[-1]) != len(items) or (starts.diff() < 0).any():
        raise ValueError("seen_starts are not ascending from 0 to the number of ratings")
    titles, genres = (_texts(json.loads(content[key]), n_items) for key in ("titles", "genres"))
    years = pd.Series(column("years", n_items, torch.int16).numpy().astype(np.int32))
    if not isinstance(mean := content["mean"], float) or not math.isfinite(mean):
        raise ValueError("the mean is not a finite number")
    biases = Biases(
        mean,
        column("user_biases", n_users, torch.float64).numpy(),
        column("item_biases", n_items, torch.float64).numpy(),
    )
    trained_users, trained_items = (
        column(key, n, torch.bool) for key, n in (("trained_users", n_users), ("trained_items", n_items))
    )
    if (trained_users & (starts.diff() == 0)).any() or (
        trained_items & (items.bincount(minlength=n_items) == 0)
    ).any():
        raise ValueError("a trained user or item has no ratings")
    known = {"title": titles, "year": years.astype("Int32").mask(years == NO_YEAR), "genres": genres}
    return RunData(
        name=_texts([content["name"]], 1)[0],
        item_table=pd.DataFrame(known | _columns_from_plain(content, n_items)),
        seen=Seen(items, starts),
        biases=biases,
        trained_users=trained_users,
        trained_items=trained_items,
        has_ratings=_flag(content.get("has_ratings", True)),  # missing in files of earlier versions
        id_columns=_pair(content.get("id_columns", ["user", "item"])),
    )


def _columns_to_plain(item_table: pd.DataFrame) -> dict[str, Any]:
    """Return the further columns of an item table as JSON texts and tensors; dates as seconds since 1970."""
    texts, numbers, dates = {}, {}, []
    for column in item_table.columns.difference(["title", "year", "genres"], sort=False):
        values = item_table[column]
        if values.dtype.kind == "M":
            dates.append(column)
            seconds = values.to_numpy("datetime64[s]").astype(np.int64).astype(np.float64)
            numbers[column] = torch.from_numpy(np.where(values.isna(), np.nan, seconds))
        elif values.dtype.kind == "f":
            numbers[column] = torch.tensor(values.to_numpy(np.float64))  # copied: the table is read-only
        else:
            texts[column] = values.tolist()
    order = [column for column in item_table.columns if column in texts or column in numbers]
    return {
        "item_columns": order,
        "item_texts": json.dumps(texts),
        "item_numbers": numbers,
        "item_dates": dates,
    }


def _columns_from_plain(content: dict[str, Any], n_items: int) -> dict[str, Any]:
    """Return what `_columns_to_plain` has made; nothing for files of earlier versions.

    Raises:
        ValueError: a value has the wrong type or length.
    """
    texts, numbers = json.loads(content.get("item_texts", "{}")), content.get("item_numbers", {})
    dates = content.get("item_dates", [])
    if not isinstance(texts, dict) or not isinstance(numbers, dict) or not isinstance(dates, list):
        raise ValueError("item columns are not as expected")
    names = _texts(content.get("item_columns", []), len(texts) + len(numbers))
    if set(names) != {*texts, *numbers} or RESERVED & set(names):
        raise ValueError("item columns do not have the expected names")
    columns: dict[str, Any] = {name: _texts(values, n_items) for name, values in texts.items()}
    for name, tensor in numbers.items():
        if not isinstance(tensor, Tensor) or tensor.dtype != torch.float64 or tensor.shape != (n_items,):
            raise ValueError("an item column is not a column of numbers")
        values = pd.Series(tensor.numpy())
        values = values.where(np.isfinite(values))  # missing where there is no number
        columns[name] = pd.to_datetime(values, unit="s", errors="coerce") if name in dates else values
    return {name: columns[name] for name in names}


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false expected")
    return value


def _pair(values: Any) -> tuple[str, str]:
    first, second = _texts(values, 2)
    return first, second


def _texts(values: Any, length: int) -> list[str]:
    if (
        not isinstance(values, list)
        or len(values) != length
        or not all(isinstance(text, str) for text in values)
    ):
        raise ValueError(f"a list of {length} strings expected")
    return values
