"""Anybody's own ratings: a delimited text file with a header."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from recsys.data.cache import cached
from recsys.data.dataset import Dataset, encode
from recsys.data.ratings_file.format import OnBadRows, RatingsFormat, RatingsText
from recsys.data.ratings_file.read import read_ratings
from recsys.errors import DataError, refusals_of


@dataclass(frozen=True)
class CsvFile:
    """A ratings file and how to read it; see conf/data/csv.yaml.

    Attributes:
        path: the file.
        name: what the data set is called in results.
        user: the name of the column of user ids (numbers or text).
        item: the name of the column of item ids (numbers or text).
        rating: the name of the column of ratings.
        timestamp: the name of the column of times in seconds since 1970, or None.
        separator: one character.
        scale: the lowest and the highest rating possible.
        on_bad_rows: "error" or "drop".
    """

    path: str
    name: str = "csv"
    user: str = "user"
    item: str = "item"
    rating: str = "rating"
    timestamp: str | None = None
    separator: str = ","
    scale: tuple[float, float] = (1, 5)
    on_bad_rows: OnBadRows = "error"

    def load(self) -> Dataset:
        """Read and encode the file, or map what was encoded before if the file has not changed since.

        Raises:
            DataError: the file is not there or a row is bad; names file, line and value. Or RECSYS_DATA
                cannot be used.
        """
        file = Path(self.path).expanduser().absolute()
        with refusals_of(f"data.path={self.path}"):
            facts = file.stat()
        absolute = dataclasses.replace(self, path=str(file))  # however the path was typed
        return cached(
            self.name,
            [facts.st_size, facts.st_mtime_ns, *dataclasses.astuple(absolute)],
            lambda: self._read(file),
        )

    def _read(self, file: Path) -> Dataset:
        separator = "\t" if self.separator == "\\t" else self.separator  # a shell passes \t as two characters
        if len(separator) != 1:
            raise DataError(f"data.separator={self.separator!r}: one character expected")
        columns = (self.user, self.item, self.rating, self.timestamp)
        form = RatingsFormat(separator, columns, header=True, text_ids=True, quoted=True)
        scale = (float(self.scale[0]), float(self.scale[1]))
        with refusals_of(f"data.path={self.path}"):
            text = RatingsText(self.path, file.stat().st_size, lambda: file.open("rb"))
            ratings, dropped = read_ratings(text, form, scale, self.on_bad_rows)
        untitled = pd.DataFrame({"item": [], "title": [], "year": [], "genres": []})
        return encode(self.name, ratings, untitled, scale, dropped)
