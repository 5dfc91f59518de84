"""Your own ratings: a delimited text file with a header."""

import dataclasses
import os
import stat
import string
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from recsys.data.cache import cached
from recsys.data.dataset import Dataset, encode
from recsys.data.ratings_file.format import OnBadRows, RatingsFormat, TextSource
from recsys.data.ratings_file.read import match_header, read_ratings
from recsys.data.sources.archive import year_of
from recsys.data.sources.base import MAX_NAME_LENGTH, Source, check_scale
from recsys.errors import DataError, os_error_as_data_error, shortened
from recsys.paths import expanded

ITEM_NAMES = ("item", "movie", "movieId", "title")  # tried in this order if data.item is not set
NO_SEPARATORS = frozenset(
    string.ascii_letters + string.digits + '+-."\r\n\0'
)  # parts of numbers, names and lines


@dataclass(frozen=True)
class CsvFile(Source):
    """A ratings file, as described by conf/data/csv.yaml.

    Attributes:
        path: the file.
        name: the name of the data set in results.
        user: the column of user ids (numbers or text).
        item: the column of item ids (numbers or text). The default also finds "movie", "movieId" and "title". Ids in a
            column called "title" are also the titles of the items.
        rating: the column of ratings.
        timestamp: the column of times in seconds since 1970; None if there is none.
        separator: the character between fields, one of ASCII; see NO_SEPARATORS for those that cannot be one.
        scale: the lowest and the highest possible rating.
        on_bad_rows: "error" stops at a bad row; "drop" skips and counts bad rows.
    """

    local_paths = ("path",)

    path: str
    name: str = "csv"
    user: str = "user"
    item: str = ITEM_NAMES[0]
    rating: str = "rating"
    timestamp: str | None = None
    separator: str = ","
    scale: tuple[float, float] = (1, 5)
    on_bad_rows: OnBadRows = "error"

    def load(self) -> Dataset:
        """Return the encoded file, from the cache if the file has not changed.

        Raises:
            DataError: the file cannot be read, a row is bad, or RECSYS_DATA cannot be used.
        """
        for problem in self.check():
            raise DataError(problem)
        file = expanded(self.path).absolute()
        with self._file_errors():
            status = file.stat()
        resolved = dataclasses.replace(self, path=str(file))  # the same key for relative paths
        return cached(
            self.name,
            [status.st_size, status.st_mtime_ns, *dataclasses.astuple(resolved)],
            lambda: self._read_unchanged(file, status),
        )

    def check(self) -> Iterator[str]:
        """Yield an error message if there is no such file, or the scale or the separator is not possible."""
        try:
            mode = expanded(self.path).stat().st_mode
        except OSError as error:
            yield f"data.path={shortened(self.path, 200, quoted=False)}: {error.strerror}"
        else:
            if stat.S_ISDIR(mode):
                yield f"data.path={self.path}: Is a directory; give the path of a file"
            elif not stat.S_ISREG(
                mode
            ):  # reading it could wait forever, and a second read would find nothing
                yield (
                    f"data.path={self.path}: not a regular file, but a pipe or a device, which cannot be read "
                    "several times; save the ratings to a file first"
                )
        if len(self.name) > MAX_NAME_LENGTH:
            yield f"data.name={shortened(self.name)}: at most {MAX_NAME_LENGTH} characters"
        yield from check_scale(self.scale)
        if len(self._separator) != 1 or not self._separator.isascii() or self._separator in NO_SEPARATORS:
            yield (
                f"data.separator={shortened(self.separator)}: must be one ASCII character that is not a letter, "
                "a digit, a sign, a point, a double quote, a line end or NUL, such as ',' or '\\t'"
            )

    @property
    def _separator(self) -> str:
        return "\t" if self.separator == "\\t" else self.separator  # a shell passes \t as two characters

    def _file_errors(self) -> AbstractContextManager[None]:
        return os_error_as_data_error(f"data.path={self.path}", "; check data.path")

    def _read_unchanged(self, file: Path, before: os.stat_result) -> Dataset:
        """Read the file.

        Raises:
            DataError: it has changed since `before`, so parts of two versions may have been read.
        """
        dataset = self._read(file)
        with self._file_errors():
            after = file.stat()
        if (before.st_size, before.st_mtime_ns, before.st_ino) != (
            after.st_size,
            after.st_mtime_ns,
            after.st_ino,
        ):
            raise DataError(f"data.path={self.path}: changed while it was read; run the command again")
        return dataset

    def _read(self, file: Path) -> Dataset:
        fmt = RatingsFormat(
            self._separator,
            (self.user, self.item, self.rating, self.timestamp),
            item_names=ITEM_NAMES if self.item == ITEM_NAMES[0] else (),
            header=True,
            text_ids=True,
            quoted=True,
        )
        scale = (float(self.scale[0]), float(self.scale[1]))
        with self._file_errors():
            text = TextSource(self.path, file.stat().st_size, lambda: file.open("rb"))
            _, fmt = match_header(text, fmt)
            ratings, dropped = read_ratings(text, fmt, scale, self.on_bad_rows)
        ids: Iterable = ratings["item"].unique() if fmt.columns[1] == "title" else []
        titles = [str(id) for id in ids]
        years = pd.array([year_of(title) for title in titles], dtype="Int32")
        items = pd.DataFrame({"item": list(ids), "title": titles, "year": years, "genres": ""})
        return encode(self.name, ratings, items, scale, dropped)
