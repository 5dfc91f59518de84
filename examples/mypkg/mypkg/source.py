"""A data source: where ratings come from, and how to read them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pandas as pd

from recsys.data.dataset import Dataset, encode
from recsys.data.sources.base import Source
from recsys.errors import DataError


@dataclass(frozen=True)
class JsonLines(Source):
    """Ratings in a file with one JSON object per line: {"user": "ann", "item": "tea", "rating": 4}.

    Attributes:
        path: the file.
        name: the name of the data set in results.
        scale: the lowest and the highest possible rating.
    """

    local_paths: ClassVar[tuple[str, ...]] = ("path",)

    path: str
    name: str = "json-lines"
    scale: tuple[float, float] = (1.0, 5.0)

    def load(self) -> Dataset:
        """Return the dataset."""
        low, high = self.scale
        try:
            rows = pd.read_json(self.path, lines=True, dtype=False)
            ratings = rows[["user", "item", "rating"]].assign(timestamp=0)
            is_valid = ratings["rating"].between(low, high)  # not if it is missing
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{self.path}: must have user, item and rating in each line ({error})") from None
        if not is_valid.all():
            line = int(is_valid.argmin()) + 1
            raise DataError(f"{self.path} line {line}: rating must be from {low:g} to {high:g} (data.scale)")
        items = ratings[["item"]].drop_duplicates().assign(title=None, year=None, genres="")
        return encode(self.name, ratings, items, self.scale)

    def check(self) -> Iterator[str]:
        """Yield an error message if there is no file, before training starts."""
        if not Path(self.path).is_file():
            yield f"data.path={self.path}: no such file"
