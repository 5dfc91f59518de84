"""Your own ratings or interactions: delimited text with a header, also compressed with gzip, or Parquet."""

import dataclasses
import os
import stat
import string
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from recsys.data.cache import cached
from recsys.data.dataset import Dataset, encode
from recsys.data.ratings_file.duplicates import Duplicates, combine
from recsys.data.ratings_file.file_kind import kind_of, text_source
from recsys.data.ratings_file.format import OnBadRows, RatingsFormat
from recsys.data.ratings_file.parquet import parquet_columns, read_parquet
from recsys.data.ratings_file.read import match_columns, read_header, read_ratings
from recsys.data.ratings_file.times import to_seconds
from recsys.data.sources.archive import year_of
from recsys.data.sources.base import INTERACTION_SCALE, MAX_NAME_LENGTH, Source, check_scale
from recsys.errors import DataError, os_error_as_data_error, shortened
from recsys.paths import expanded

ITEM_NAMES = ("item", "movie", "movieId", "title")  # tried in this order if data.item is not set
LAST = "; data.duplicates=last keeps the last of such rows"
COUNT = "; data.duplicates=count counts such rows, data.duplicates=last keeps the last"
SEPARATORS = (",", "\t", ";", "|")  # tried in this order if data.separator is not set
NO_SEPARATORS = frozenset(
    string.ascii_letters + string.digits + '+-."\r\n\0'
)  # parts of numbers, names and lines


class Content(NamedTuple):
    """The content of a file.

    Attributes:
        rows: columns user, item, rating, timestamp.
        item_name: the name of the item column.
        dropped: the number of bad rows that were skipped.
    """

    rows: pd.DataFrame
    item_name: str
    dropped: int


@dataclass(frozen=True)
class Table(Source):
    """A file of ratings or interactions, as described by conf/data/table.yaml.

    Attributes:
        path: the file: text with a header line, the same compressed with gzip, or Parquet; recognised by its content.
        name: the name of the data set in results.
        user: the column of user ids (numbers or text).
        item: the column of item ids (numbers or text). The default also finds "movie", "movieId" and "title". Ids in a
            column called "title" are also the titles of the items.
        rating: the column of ratings; None if each row is an interaction.
        time: the column of times; None if there is none. Numbers are seconds, milliseconds, microseconds or nanoseconds
            since 1970, by their size; text is a date in ISO 8601 notation.
        separator: the character between fields, one of ASCII; see NO_SEPARATORS for those that cannot be one. None: the
            first of SEPARATORS with which the header has the user column.
        scale: the lowest and the highest possible rating; not used without ratings.
        duplicates: what several rows with the same user and item are: "error": a bad row; "count": interactions, to be
            counted; "last": the last one counts.
        on_bad_rows: "error" stops at a bad row; "drop" skips and counts bad rows.
    """

    local_paths = ("path",)

    path: str
    name: str = "table"
    user: str = "user"
    item: str = ITEM_NAMES[0]
    rating: str | None = "rating"
    time: str | None = None
    separator: str | None = None
    scale: tuple[float, float] = (1, 5)
    duplicates: Duplicates = "error"
    on_bad_rows: OnBadRows = "error"

    @property
    def has_ratings(self) -> bool:
        """Whether rows have ratings; otherwise they are interactions."""
        return self.rating is not None

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
            lambda: self._encode_unchanged(file, status),
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
        if self.separator is not None:
            given = _tab(self.separator)
            if len(given) != 1 or not given.isascii() or given in NO_SEPARATORS:
                yield (
                    f"data.separator={shortened(self.separator)}: must be one ASCII character that is not a letter, "
                    "a digit, a sign, a point, a double quote, a line end or NUL, such as ',' or '\\t'"
                )
        if self.duplicates == "count" and self.has_ratings:
            yield (
                "data.duplicates=count: rows with ratings cannot be counted; use data.duplicates=last, or "
                "data.rating=null for interactions without ratings"
            )

    def _file_errors(self) -> AbstractContextManager[None]:
        return os_error_as_data_error(f"data.path={self.path}", "; check data.path")

    def _encode_unchanged(self, file: Path, before: os.stat_result) -> Dataset:
        """Read and encode the file.

        Raises:
            DataError: it has changed since `before`, so parts of two versions may have been read.
        """
        dataset = self._encode(file)
        with self._file_errors():
            after = file.stat()
        if (before.st_size, before.st_mtime_ns, before.st_ino) != (
            after.st_size,
            after.st_mtime_ns,
            after.st_ino,
        ):
            raise DataError(f"data.path={self.path}: changed while it was read; run the command again")
        return dataset

    def _encode(self, file: Path) -> Dataset:
        with self._file_errors():
            content = self._read(file)
        rows = combine(content.rows, self.duplicates)
        ids: Iterable = rows["item"].unique() if content.item_name == "title" else []
        titles = [str(id) for id in ids]
        years = pd.array([year_of(title) for title in titles], dtype="Int32")
        items = pd.DataFrame({"item": list(ids), "title": titles, "year": years, "genres": ""})
        return encode(
            self.name,
            rows,
            items,
            self._scale,
            content.dropped,
            has_ratings=self.has_ratings,
            item_column=content.item_name,
        )

    def _read(self, file: Path) -> Content:
        """Return all valid rows, with times in seconds."""
        fmt = RatingsFormat(
            "" if self.separator is None else _tab(self.separator),
            (self.user, self.item, self.rating, self.time),
            item_names=ITEM_NAMES if self.item == ITEM_NAMES[0] else (),
            header=True,
            text_ids=True,
            quoted=True,
            may_repeat=self.duplicates != "error",
            repeat_advice=LAST if self.has_ratings else COUNT,
        )
        kind = kind_of(file)
        if kind == "parquet":
            fmt = match_columns(self.path, fmt, parquet_columns(file))
            rows, dropped = read_parquet(file, fmt, self._scale, self.on_bad_rows)
        else:
            text = text_source(file, self.path, kind)
            if self.separator is None:
                candidates = (dataclasses.replace(fmt, separator=separator) for separator in SEPARATORS)
                default = dataclasses.replace(fmt, separator=SEPARATORS[0])
                fmt = next((one for one in candidates if self.user in read_header(text, one)), default)
            fmt = match_columns(f"{text.name} line 1", fmt, read_header(text, fmt))
            rows, dropped = read_ratings(text, fmt, self._scale, self.on_bad_rows)
        rows["timestamp"] = to_seconds(rows["timestamp"].to_numpy(), self.path)
        return Content(rows, fmt.columns[1], dropped)

    @property
    def _scale(self) -> tuple[float, float]:
        return (float(self.scale[0]), float(self.scale[1])) if self.has_ratings else INTERACTION_SCALE


def _tab(separator: str) -> str:
    return "\t" if separator == "\\t" else separator  # a shell passes \t as two characters
