"""IdMap: translates between raw ids and indices."""

import difflib
import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recsys.errors import UnknownIdError

MAX_ID_LENGTH = 1000  # characters of a text id: a numpy array has room for the longest id in every element
CHUNK = 1 << 17  # ids looked up at once; the temporary arrays then fit into the CPU cache


@dataclass(frozen=True, eq=False)
class IdMap:
    """An immutable two-way map between raw ids and indices 0..n-1.

    Attributes:
        ids: the raw ids by index, sorted and unique, shape (n,), int64 or text.
        name: "user" or "item", for error messages.
    """

    ids: NDArray
    name: str = "id"

    @classmethod
    def from_values(cls, values: ArrayLike, name: str = "id") -> "IdMap":
        """Give every distinct value an index, in ascending order of the values."""
        array = np.asarray(values)
        if array.dtype == object:
            array = array.astype(str)
        if _is_dense(array):
            present = np.zeros(int(array.max()) + 1, dtype=bool)
            for chunk in np.split(array, range(CHUNK, len(array), CHUNK)):  # numpy copies an index to int64
                present[chunk] = True
            return cls(np.flatnonzero(present).astype(np.int64), name)
        distinct = np.unique(array)
        return cls(distinct.astype(np.int64) if distinct.dtype.kind in "iu" else distinct, name)

    def __len__(self) -> int:
        return len(self.ids)

    def to_ids(self, indices: ArrayLike) -> NDArray:
        """Return the raw ids of `indices`, in the same shape."""
        return self.ids[np.asarray(indices)]

    def to_indices(self, ids: ArrayLike) -> NDArray[np.int32]:
        """Return the indices of raw `ids`, in the same shape.

        Raises:
            UnknownIdError: an id is not in the map, or is text although the ids are numbers (or the reverse).
        """
        wanted = np.asarray(ids)
        if wanted.size == 0:
            return np.zeros(wanted.shape, dtype=np.int32)
        if (kind := _kind(self.ids)) != _kind(wanted):
            first = wanted.reshape(-1)[:1].tolist()[0]
            raise UnknownIdError(f"{self.name} ids are {kind} here, which {first!r} is not")
        indices, known = self._find(wanted)
        if not known.all():
            raise UnknownIdError(self._describe_unknown(np.unique(wanted[~known])))
        return indices

    def find(self, ids: ArrayLike) -> NDArray[np.int32]:
        """Return the indices of raw `ids`, in the same shape, with -1 for unknown ids."""
        wanted = np.asarray(ids)
        if wanted.size == 0 or _kind(wanted) != _kind(self.ids):
            return np.full(wanted.shape, -1, dtype=np.int32)
        indices, known = self._find(wanted)
        return np.where(known, indices, np.int32(-1))

    def from_text(self, text: str) -> int | str:
        """Return an id that was typed, or read from a file, as the type of the raw ids; it may be unknown."""
        is_number = self.ids.dtype.kind in "iu" and re.fullmatch(r"-?[0-9]+", text.strip())
        return int(text) if is_number else text

    def _find(self, wanted: NDArray) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Return indices, and whether each one is valid, that is, whether its id is in the map."""
        if self._lookup is not None:
            inside = (wanted >= 0) & (wanted < len(self._lookup))
            indices = self._lookup[wanted if inside.all() else np.where(inside, wanted, 0)]
            return indices, inside & (indices >= 0)
        indices = np.searchsorted(self.ids, wanted).clip(max=len(self) - 1).astype(np.int32)
        return indices, self.ids[indices] == wanted

    @cached_property
    def _lookup(self) -> NDArray[np.int32] | None:
        """A table from raw id to index (-1 for unknown ids); None if the ids are too large for a table."""
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
    """Return the kind of ids, as error messages call it: "whole numbers", "text", or "neither"."""
    if ids.dtype.kind in "iu":
        return "whole numbers"
    is_text = ids.dtype.kind == "U" or all(isinstance(id, str) for id in ids.flat)
    return "text" if is_text else "neither"


def _is_dense(ids: NDArray) -> bool:
    """Return whether a lookup table over 0..max(ids) is small: up to 4 million entries plus 8 per id."""
    return ids.dtype.kind in "iu" and ids.size > 0 and ids.min() >= 0 and ids.max() < 4_000_000 + 8 * ids.size
