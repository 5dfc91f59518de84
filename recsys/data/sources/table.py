"""Your own ratings or interactions: delimited text with a header, also compressed with gzip, or Parquet."""

import dataclasses
import os
import string
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from numpy.typing import NDArray

from recsys.data.cache import cached
from recsys.data.dataset import Dataset, encode
from recsys.data.features import Options
from recsys.data.ratings_file.duplicates import Duplicates
from recsys.data.ratings_file.format import OnBadRows, RatingsFormat
from recsys.data.ratings_file.table_file import join, read_file
from recsys.data.sources.archive import year_of
from recsys.data.sources.base import INTERACTION_SCALE, MAX_NAME_LENGTH, Source, check_scale
from recsys.data.sources.describe import describe_items, describe_users
from recsys.data.sources.local_files import State, file_problems, states_of
from recsys.data.sources.side_table import read_side_table
from recsys.errors import DataError, listed, shortened
from recsys.paths import expanded

ITEM_NAMES = ("item", "movie", "movieId", "title")  # tried in this order if data.item is not set
DEFAULT_TITLE = "title"
LAST = "; data.duplicates=last keeps the last of such rows"
COUNT = "; data.duplicates=count counts such rows, data.duplicates=last keeps the last"
COLUMNS = (
    ". Set the names with data.user, data.item, data.rating and data.time (null for rating or time: none), or the "
    "separator of a text file with data.separator"
)
NO_SEPARATORS = frozenset(
    string.ascii_letters + string.digits + '+-."\r\n\0'
)  # parts of numbers, names and lines


@dataclass(frozen=True)
class Table(Source):
    """A file of ratings or interactions, as described by conf/data/table.yaml.

    Attributes:
        path: the file: text with a header line, the same compressed with gzip, or Parquet; recognised by its content.
            Or several files, such as one for each day; with split=files, those of training, validation and test set.
        name: the name of the data set in results.
        user: the column of user ids (numbers or text).
        item: the column of item ids (numbers or text). The default also finds "movie", "movieId" and "title". Ids in a
            column called "title" are also the titles of the items.
        rating: the column of ratings; None if each row is an interaction.
        time: the column of times; None if there is none. Numbers are seconds, milliseconds, microseconds or nanoseconds
            since 1970, by their size; text is a date in ISO 8601 notation.
        separator: the character between fields, one of ASCII; see NO_SEPARATORS for those that cannot be one. None: the
            first of comma, tab, semicolon and | with which the header has the user column.
        scale: the lowest and the highest possible rating; not used without ratings.
        duplicates: what several rows with the same user and item are: "error": a bad row; "count": interactions, to be
            counted; "last": the last one counts.
        on_bad_rows: "error" stops at a bad row; "drop" skips and counts bad rows.
        items: a table of items, whose id column has the name of `item`; None if there is none. It has the titles, and
            its other columns are features, see `recsys.data.features`. Its items get an index even without ratings.
        users: a table of users, whose id column has the name of `user`; None if there is none.
        title: the column of titles in the table of items.
        item_features: the columns of the table of items that are features; None: all that can be one.
        user_features: the same for users.
        categorical: columns of both tables with numbers that are categories.
        list_separator: the character between the values of a text with several values, in both tables.
    """

    local_paths = ("path", "items", "users")

    path: str | list[str]
    name: str = "table"
    user: str = "user"
    item: str = ITEM_NAMES[0]
    rating: str | None = "rating"
    time: str | None = None
    separator: str | None = None
    scale: tuple[float, float] = (1, 5)
    duplicates: Duplicates = "error"
    on_bad_rows: OnBadRows = "error"
    items: str | None = None
    users: str | None = None
    title: str = DEFAULT_TITLE
    item_features: list[str] | None = None
    user_features: list[str] | None = None
    categorical: tuple[str, ...] = ()
    list_separator: str = "|"

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
        files = {key: expanded(path).absolute() for key, path in self._paths.items()}
        before = states_of(files)
        absolute = dataclasses.asdict(self) | {"path": None} | {key: str(file) for key, file in files.items()}
        return cached(  # the same key for relative paths
            self.name,
            [*(state[:2] for state in before.values()), *absolute.values()],
            lambda: self._encode_unchanged(files, before),
        )

    @property
    def _rating_paths(self) -> dict[str, str]:
        """The files of ratings, by key."""
        if isinstance(self.path, str):
            return {"path": self.path}
        return {f"path[{number}]": path for number, path in enumerate(self.path)}

    @property
    def _paths(self) -> dict[str, str]:
        """All files to read, by key."""
        tables = {"items": self.items, "users": self.users}
        return self._rating_paths | {key: path for key, path in tables.items() if path is not None}

    def check(self) -> Iterator[str]:
        """Yield an error message if there is no such file, or another option is not possible."""
        if not self.path:
            yield "data.path=[]: give the path of a file, or a list of paths"
        for key, path in self._paths.items():
            yield from file_problems(f"data.{key}", path)
        if len(os.fsencode(self.name)) > MAX_NAME_LENGTH:
            yield f"data.name={shortened(self.name)}: at most {MAX_NAME_LENGTH} bytes of UTF-8, as in a file name"
        yield from check_scale(self.scale)
        if self.separator is not None:
            given = _tab(self.separator)
            if len(given) != 1 or not given.isascii() or given in NO_SEPARATORS:
                yield (
                    f"data.separator={shortened(self.separator)}: must be one ASCII character that is not a letter, "
                    "a digit, a sign, a point, a double quote, a line end or NUL, such as ',' or '\\t'"
                )
        if not self.list_separator:
            yield "data.list_separator='': must have at least one character, such as '|'"
        if self.duplicates == "count" and self.has_ratings:
            yield (
                "data.duplicates=count: rows with ratings cannot be counted; use data.duplicates=last, or "
                "data.rating=null for interactions without ratings"
            )

    def _encode_unchanged(self, files: dict[str, Path], before: dict[str, State]) -> Dataset:
        """Read and encode the files.

        Raises:
            DataError: one has changed since `before`, so parts of two versions may have been read.
        """
        dataset = self._encode(files)
        for key, state in states_of(files).items():
            if state != before[key]:
                raise DataError(
                    f"data.{key}={self._paths[key]}: changed while it was read; run the command again"
                )
        return dataset

    def _encode(self, files: dict[str, Path]) -> Dataset:
        contents = [
            read_file(files[key], path, self._format(), self._scale, self.on_bad_rows)
            for key, path in self._rating_paths.items()
        ]
        rows, parts = join(contents, self.duplicates, LAST if self.has_ratings else COUNT)
        content = contents[0]
        items, users = None, None
        if "items" in files:
            table = read_side_table(files["items"], content.item_name, "data.items", self.title)
            _require_overlap(table.ids, rows["item"], "data.items")
            if self.title != DEFAULT_TITLE and self.title not in table.columns.column_names:
                raise DataError(
                    f"data.title={self.title}: the table of items has no such column; it has "
                    f"{listed(table.columns.column_names)}"
                )
            items = describe_items(table, self.title, self._options(self.item_features), "data.items")
        if "users" in files:
            table = read_side_table(files["users"], self.user, "data.users")
            _require_overlap(table.ids, rows["user"], "data.users")
            users = describe_users(table, self._options(self.user_features), "data.users")
        return encode(
            self.name,
            rows,
            _titles_of(rows["item"], content.item_name) if items is None else items.table,
            self._scale,
            sum(content.dropped for content in contents),
            None if users is None else users.table,
            has_ratings=self.has_ratings,
            id_columns=(self.user, content.item_name),
            item_features=None if items is None else items.features,
            user_features=None if users is None else users.features,
            parts=parts,
        )

    def _options(self, chosen: list[str] | None) -> Options:
        return Options(
            None if chosen is None else tuple(dict.fromkeys(chosen)),
            tuple(self.categorical),
            self.list_separator,
        )

    def _format(self) -> RatingsFormat:
        return RatingsFormat(
            "" if self.separator is None else _tab(self.separator),
            (self.user, self.item, self.rating, self.time),
            item_names=ITEM_NAMES if self.item == ITEM_NAMES[0] else (),
            header=True,
            text_ids=True,
            quoted=True,
            may_repeat=self.duplicates != "error",
            repeat_advice=LAST if self.has_ratings else COUNT,
            column_advice=COLUMNS,
        )

    @property
    def _scale(self) -> tuple[float, float]:
        return (float(self.scale[0]), float(self.scale[1])) if self.has_ratings else INTERACTION_SCALE


def _titles_of(ids: pd.Series, item_name: str) -> pd.DataFrame:
    """Return an item table with the ids as titles if their column is called "title", otherwise an empty one."""
    distinct: Iterable = ids.unique() if item_name == "title" else []
    titles = [str(id) for id in distinct]
    years = pd.array([year_of(title) for title in titles], dtype="Int32")
    return pd.DataFrame({"item": list(distinct), "title": titles, "year": years, "genres": ""})


def _require_overlap(ids: NDArray, used: pd.Series, key: str) -> None:
    """Check that a table is about the same items or users as the ratings.

    Raises:
        DataError: it has none of them.
    """
    known = set(map(str, ids.tolist()))
    if not any(str(id) in known for id in used.unique()):
        examples = listed(used.unique()[:3].tolist()), listed(ids[:3].tolist())
        raise DataError(
            f"{key}: has none of the ids in data.path, such as {examples[0]}; it has {examples[1]}. Check the id column"
        )


def _tab(separator: str) -> str:
    return "\t" if separator == "\\t" else separator  # a shell passes \t as two characters
