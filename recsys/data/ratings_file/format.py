"""What rating rows are read from: a text that can be opened again, and how rows stand in it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Literal

OnBadRows = Literal["error", "drop"]
COLUMNS = ["user", "item", "rating", "timestamp"]


@dataclass(frozen=True)
class RatingsFormat:
    """How rating rows stand in a text file.

    Attributes:
        separator: one character between fields, or "::".
        columns: the file's own names for user, item, rating and (or None) timestamp, where it has a header;
            without a header the four stand in that order.
        header: whether the first line names the columns.
        text_ids: whether ids may be text; otherwise they are whole numbers.
        quoted: whether fields may stand in double quotes.
    """

    separator: str
    columns: tuple[str, str, str, str | None] = ("user", "item", "rating", "timestamp")
    header: bool = False
    text_ids: bool = False
    quoted: bool = False

    @property
    def names(self) -> list[str]:
        """The columns that the file has."""
        return [column for column in self.columns if column]

    @property
    def delimiter(self) -> str:
        """One character, as parsers want it; a tab stands for "::"."""
        return "\t" if self.separator == "::" else self.separator

    def delimited(self, data: bytes) -> bytes:
        """Whole lines with `delimiter` between fields."""
        return data.replace(b"\t", b" ").replace(b"::", b"\t") if self.separator == "::" else data


@dataclass(frozen=True)
class RatingsText:
    """A file, or a member of an archive.

    Attributes:
        name: for messages.
        size: bytes.
        open: the bytes from the start, every time.
    """

    name: str
    size: int
    open: Callable[[], IO[bytes]]
