"""The text that ratings are read from, and its format."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Literal

OnBadRows = Literal["error", "drop"]
COLUMNS = ["user", "item", "rating", "timestamp"]  # of the tables that readers return


@dataclass(frozen=True)
class RatingsFormat:
    """The format of a text file with one rating per line.

    Attributes:
        separator: the text between fields: one character, or "::".
        columns: the names of the user, item, rating and timestamp column in the header; None where there are no ratings
            (each row is an interaction, with the rating 1) or no timestamps. Without a header, the fields of each line
            have this order.
        item_names: further names of the item column, tried in this order if the first is not in the header.
        header: whether the first line names the columns.
        text_ids: whether ids may be text, and times may be dates; otherwise both are whole numbers.
        quoted: whether fields may be in double quotes. A field ends in the line in which it begins.
        may_repeat: whether several rows may have the same user and item; otherwise all but the first are bad.
        repeat_advice: end of the error message for such a row.
        column_advice: end of the error message for a missing column.
    """

    separator: str
    columns: tuple[str, str, str | None, str | None] = ("user", "item", "rating", "timestamp")
    item_names: tuple[str, ...] = ()
    header: bool = False
    text_ids: bool = False
    quoted: bool = False
    may_repeat: bool = False
    repeat_advice: str = ""
    column_advice: str = ""

    @property
    def names(self) -> list[str]:
        """The names of the columns to read, two to four."""
        return list(self.by_role.values())

    @property
    def by_role(self) -> dict[str, str]:
        """The names of the columns to read, by their names in COLUMNS."""
        return {role: name for role, name in zip(COLUMNS, self.columns, strict=True) if name is not None}

    @property
    def delimiter(self) -> str:
        """The separator as one character, as parsers need it: a tab instead of "::"."""
        return "\t" if self.separator == "::" else self.separator

    def delimited(self, data: bytes) -> bytes:
        """Return whole lines with `delimiter` between the fields."""
        return data.replace(b"\t", b" ").replace(b"::", b"\t") if self.separator == "::" else data


@dataclass(frozen=True)
class TextSource:
    """A text that can be read several times: a file, or a file in an archive.

    Attributes:
        name: the name in error messages.
        size: the size in bytes.
        open: returns a new binary stream at the start of the text.
    """

    name: str
    size: int
    open: Callable[[], IO[bytes]]
