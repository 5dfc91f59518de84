"""IdMap: raw ids and the table rows they stand for."""

import difflib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recsys.errors import UnknownIdError

PIECE = 1 << 17  # ids looked up at once: what is needed on the way stays in a cache


@dataclass(frozen=True, eq=False)
class IdMap:
    """A frozen two-way map between raw ids and rows 0..n-1.

    Attributes:
        ids: shape (n,); `ids[row]` is the raw id of that row. Sorted and unique; int64 or text.
        name: what the ids name ("user" or "item"), for messages.
    """

    ids: NDArray
    name: str = "id"

    @classmethod
    def from_values(cls, values: ArrayLike, name: str = "id") -> "IdMap":
        """Map every distinct value, in ascending order, to one row."""
        array = np.asarray(values)
        if array.dtype == object:
            array = array.astype(str)
        if _is_dense(array):
            present = np.zeros(int(array.max()) + 1, dtype=bool)
            for piece in np.split(array, range(PIECE, len(array), PIECE)):  # numpy widens what it indexes by
                present[piece] = True
            return cls(np.flatnonzero(present).astype(np.int64), name)
        distinct = np.unique(array)
        return cls(distinct.astype(np.int64) if distinct.dtype.kind in "iu" else distinct, name)

    def __len__(self) -> int:
        return len(self.ids)

    def to_ids(self, rows: ArrayLike) -> NDArray:
        """Raw ids of `rows`, in the shape of `rows`."""
        return self.ids[np.asarray(rows)]

    def to_rows(self, ids: ArrayLike) -> NDArray[np.int32]:
        """Rows of raw `ids`, in the shape of `ids`.

        Raises:
            UnknownIdError: an id is not in the map, or is text where the ids are numbers (or the reverse).
        """
        asked = np.asarray(ids)
        if asked.size == 0:
            return np.zeros(asked.shape, dtype=np.int32)
        if (kind := _kind(self.ids)) != _kind(asked):
            first = asked.reshape(-1)[:1].tolist()[0]
            raise UnknownIdError(f"{self.name} ids are {kind} here, which {first!r} is not")
        rows, known = self._find(asked)
        if not known.all():
            raise UnknownIdError(self._describe_unknown(np.unique(asked[~known])))
        return rows

    def find(self, ids: ArrayLike) -> NDArray[np.int32]:
        """Rows of raw `ids`, in the shape of `ids`; -1 for unknown ones."""
        asked = np.asarray(ids)
        if asked.size == 0 or _kind(asked) != _kind(self.ids):
            return np.full(asked.shape, -1, dtype=np.int32)
        rows, known = self._find(asked)
        return np.where(known, rows, np.int32(-1))

    def __contains__(self, id: object) -> bool:
        asked = np.asarray(id)
        return _kind(asked) == _kind(self.ids) and bool(self._find(asked)[1])

    def _find(self, asked: NDArray) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        if self._row_of is not None:
            inside = (asked >= 0) & (asked < len(self._row_of))
            rows = self._row_of[asked if inside.all() else np.where(inside, asked, 0)]
            return rows, inside & (rows >= 0)
        rows = np.searchsorted(self.ids, asked).clip(max=len(self) - 1).astype(np.int32)
        return rows, self.ids[rows] == asked

    @cached_property
    def _row_of(self) -> NDArray[np.int32] | None:
        """A table from raw id to row (-1: none), where the ids are small enough numbers for one."""
        if not _is_dense(self.ids):
            return None
        table = np.full(int(self.ids.max()) + 1, -1, dtype=np.int32)
        table[self.ids] = np.arange(len(self.ids), dtype=np.int32)
        return table

    def _describe_unknown(self, unknown: NDArray) -> str:
        shown = ", ".join(str(id) for id in unknown[:5]) + (", ..." if len(unknown) > 5 else "")
        plural = "s" if len(unknown) > 1 else ""
        message = f"unknown {self.name} id{plural}: {shown}"
        if self.ids.dtype.kind in "iu":
            position = int(np.searchsorted(self.ids, unknown[0]))
            near = self.ids[max(position - 1, 0) : position + 1].tolist()
        else:
            near = difflib.get_close_matches(str(unknown[0]), self.ids.tolist(), n=3)
        return message + (f" (the nearest known: {', '.join(map(str, near))})" if near else "")


def _kind(ids: NDArray) -> str:
    """What ids are, in words: "whole numbers", "text", or neither."""
    if ids.dtype.kind in "iu":
        return "whole numbers"
    is_text = ids.dtype.kind == "U" or all(isinstance(id, str) for id in ids.flat)
    return "text" if is_text else "neither"


def _is_dense(ids: NDArray) -> bool:
    """Whether a lookup table over 0..max(ids) is cheap: whole numbers below 4 million plus 8 per entry."""
    return ids.dtype.kind in "iu" and ids.size > 0 and ids.min() >= 0 and ids.max() < 4_000_000 + 8 * ids.size
