"""IdMap: translates between raw ids and indices."""

import difflib
import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from pandas.api.types import infer_dtype

from recsys.data.ratings_file.numbers import parse_integer
from recsys.errors import UnknownIdError, shortened

MAX_ID_LENGTH = 1000  # characters of a text id; longer ones are damaged rows, and slow to compare
NUMBERS = "whole numbers"
CHUNK = 1 << 17  # ids looked up at once; the temporary arrays then fit into the CPU cache


@dataclass(frozen=True, eq=False)
class IdMap:
    """An immutable two-way map between raw ids and indices 0..n-1.

    Attributes:
        ids: the raw ids by index, sorted and unique, shape (n,): int64, or text as Python objects (a numpy array of
            text would have room for the longest id in every element).
        name: "user" or "item", for error messages.
    """

    ids: NDArray
    name: str = "id"

    @classmethod
    def from_values(cls, values: ArrayLike, name: str = "id") -> "IdMap":
        """Give every distinct value an index, in ascending order of the values."""
        array = as_array(values)
        if array.dtype == object:
            distinct = pd.unique(array)
            distinct.sort()
            return cls(distinct, name)
        if _is_dense(array):
            present = np.zeros(int(array.max()) + 1, dtype=bool)
            for chunk in np.split(array, range(CHUNK, len(array), CHUNK)):  # numpy copies an index to int64
                present[chunk] = True
            return cls(np.flatnonzero(present).astype(np.int64), name)
        return cls(np.unique(array).astype(np.int64), name)

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
        wanted = self._of_own_kind(ids)
        if wanted.size == 0:
            return np.zeros(wanted.shape, dtype=np.int32)
        indices, known = self._find(wanted)
        if not known.all():
            raise UnknownIdError(self._describe_unknown(np.unique(wanted[~known])))
        return indices

    def find(self, ids: ArrayLike) -> NDArray[np.int32]:
        """Return the indices of raw `ids`, in the same shape, with -1 for unknown ids."""
        wanted = as_array(ids)
        if wanted.size == 0 or _kind(wanted) != _kind(self.ids):
            return np.full(wanted.shape, -1, dtype=np.int32)
        indices, known = self._find(wanted)
        return np.where(known, indices, np.int32(-1))

    def find_given(self, ids: ArrayLike) -> NDArray[np.int32]:
        """Return the indices of ids that a user gave, in the same shape, with -1 for unknown ids.

        Text may be an id that was typed: if the ids are numbers, "42" is 42.

        Raises:
            UnknownIdError: an id is neither text nor of the kind of the map, such as 42.0 or nan. If it counted as
                unknown, a known user would be taken for an unknown one.
        """
        wanted = as_array(ids)
        kind = _kind(self.ids)
        if wanted.size == 0 or _kind(wanted) == kind:
            return self.find(wanted)
        found = np.empty(wanted.size, dtype=np.int32)
        for position, id in enumerate(wanted.ravel().tolist()):
            if not isinstance(id, str) and _kind(as_array([id])) != kind:
                raise UnknownIdError(self._describe_wrong_kind(id, kind))
            found[position] = self.find(self.from_text(id) if isinstance(id, str) else id)
        return found.reshape(wanted.shape)

    def from_text(self, text: str) -> int | str:
        """Return an id that was typed, or read from a file, as the type of the raw ids; it may be unknown.

        If the ids are numbers, other notations of numbers (+1, 1_0, other digits) and numbers that do not fit into
        64 bits remain text, which is not an id here.
        """
        if self.ids.dtype.kind not in "iu" or not re.fullmatch(r"-?[0-9]+", text.strip()):
            return text
        try:
            return parse_integer(text)
        except ValueError:
            return text

    def _of_own_kind(self, ids: ArrayLike) -> NDArray:
        """Return ids as an array.

        Raises:
            UnknownIdError: they are not of the kind of the map.
        """
        wanted = as_array(ids)
        if wanted.size and (kind := _kind(self.ids)) != _kind(wanted):
            wrong = next(
                (id for id in wanted.ravel().tolist() if _kind(as_array([id])) != kind), wanted.flat[0]
            )
            raise UnknownIdError(self._describe_wrong_kind(wrong, kind))
        return wanted

    def _find(self, wanted: NDArray) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Return indices, and whether each one is valid, that is, whether its id is in the map."""
        if self.ids.dtype.kind in "iu" and wanted.dtype.kind in "Ou":  # some do not fit into 64 bits
            fits = np.array([-(2**63) <= id < 2**63 for id in wanted.ravel().tolist()]).reshape(wanted.shape)
            indices, known = self._find(np.where(fits, wanted, 0).astype(np.int64))
            return indices, known & fits
        if self.ids.dtype == object:
            indices = (
                self._text_index.get_indexer(pd.Index(wanted.ravel(), dtype=object))
                .astype(np.int32)
                .reshape(wanted.shape)
            )
            return indices, indices >= 0
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

    @cached_property
    def _text_index(self) -> pd.Index:
        """A hash table from text id to index."""
        return pd.Index(self.ids, dtype=object)

    def _describe_unknown(self, unknown: NDArray) -> str:
        shown = ", ".join(shortened(id, quoted=False) for id in unknown[:5]) + ", ..." * (len(unknown) > 5)
        plural = "s" if len(unknown) > 1 else ""
        message = f"unknown {self.name} id{plural}: {shown}"
        if self.ids.dtype.kind in "iu":
            return message + self._nearest_to(int(unknown[0]))
        if len(str(unknown[0])) > MAX_ID_LENGTH:  # no id is near, and the search would take long
            return message
        return message + _list_of(difflib.get_close_matches(str(unknown[0]), self.ids.tolist(), n=3))

    def _describe_wrong_kind(self, wanted: object, kind: str) -> str:
        """Return the error message for an id that is not of the `kind` of the map."""
        shown, near = shortened(wanted, quoted=isinstance(wanted, str)), ""
        if kind == NUMBERS and isinstance(wanted, str):
            # The first number in the text, in any notation, shows which ids are near.
            plain = unicodedata.normalize("NFKD", wanted).replace("\N{MINUS SIGN}", "-")
            number = re.search(r"-?\d+", plain)
            near = self._nearest_to(int(number[0][:30])) if number else ""
            if re.fullmatch("-?[0-9]{19,}", wanted.strip()):  # does not fit into 64 bits
                return f"unknown {self.name} id: {shortened(wanted.strip(), quoted=False)}{near}"
        return f"{self.name} ids are {kind} here, which {shown} is not{near}"

    def _nearest_to(self, number: int) -> str:
        position = int(np.searchsorted(self.ids, np.clip(number, self.ids[0], self.ids[-1])))
        position += number > int(self.ids[-1])
        return _list_of(self.ids[max(position - 1, 0) : position + 1].tolist())


def in_shape_of(asked: NDArray, values: NDArray) -> Any:
    """Return values (n,), one for each of the n ids asked for, in their shape: a float for a single id."""
    return values.reshape(asked.shape) if asked.ndim else float(values[0])


def as_array(ids: ArrayLike) -> NDArray:
    """Return ids as an array, in native byte order, that distinguishes the same ids as Python does.

    Text becomes an array of Python objects: numpy's arrays of text drop NUL characters at the end, which makes it
    another text, and other values in a list with text would become text. Integers of more than 64 bits become objects,
    too (in a list, numpy would convert them to floats), and masked values become None.
    """
    if isinstance(ids, np.ma.MaskedArray):
        return np.where(np.ma.getmaskarray(ids), np.array(None), ids.data.astype(object))
    array = np.asarray(ids)
    if array.dtype.kind in "UT":  # text of one length, and StringDType
        return array.astype(object) if array is ids else np.asarray(ids, dtype=object)
    if not array.dtype.isnative:
        return array.astype(array.dtype.newbyteorder("="))
    if array is ids or array.dtype.kind != "f":
        return array
    objects = np.asarray(ids, dtype=object)
    return objects if _kind(objects) == NUMBERS else array


def text_id_problem(id: str) -> str | None:
    """Return why a text cannot be an id, as the end of an error message; None if it can."""
    if len(id) > MAX_ID_LENGTH:
        return f"is longer than {MAX_ID_LENGTH} characters"
    if "\0" in id:  # many programs ignore it at the end of a text: two users would become one
        return "has a NUL character"
    try:
        id.encode()
    except UnicodeEncodeError:  # half of a character
        return "is not valid text"
    return None


def _list_of(near: list) -> str:
    return f" (the nearest known: {', '.join(shortened(id, quoted=False) for id in near)})" if near else ""


def _kind(ids: NDArray) -> str:
    """Return the kind of ids, as error messages call it: "whole numbers", "text", or "neither"."""
    kinds = {"integer": NUMBERS, "string": "text", "empty": "text"}
    return kinds.get(infer_dtype(ids.ravel(), skipna=False), "neither")


def _is_dense(ids: NDArray) -> bool:
    """Return whether a lookup table over 0..max(ids) is small: up to 4 million entries plus 8 per id."""
    return ids.dtype.kind in "iu" and ids.size > 0 and ids.min() >= 0 and ids.max() < 4_000_000 + 8 * ids.size
