"""The base class of all data sources."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar

from recsys.data.dataset import Dataset

MAX_RATING = 1e9  # its square is exact enough in float32
# Of data without ratings, where the rating of a row is its number of interactions: three quarters up this scale, from
# where items are relevant, is below one interaction.
INTERACTION_SCALE = (0.0, 1.0)
MAX_NAME_LENGTH = 100  # bytes; it is part of the name of a folder


class Source(ABC):
    """Base class of data sources: where ratings come from, and how to read them.

    To add a source, derive a frozen dataclass and implement `load`. Its fields are the keys of its YAML file
    in conf/data/, and their annotations are the allowed types and ranges.

    Attributes:
        name: the name of the data set in results, such as "ml-100k".
        local_paths: names of the keys that are paths; a run records them as absolute paths.
        scale: the lowest and the highest possible rating, if known before the data is read (optional).
        has_ratings: whether rows have ratings; otherwise they are interactions, such as clicks or purchases.
    """

    name: str
    local_paths: ClassVar[tuple[str, ...]] = ()

    @property
    def has_ratings(self) -> bool:
        """Whether rows have ratings; see above."""
        return True

    @abstractmethod
    def load(self) -> Dataset:
        """Return the dataset, encoded by `recsys.data.dataset.encode`.

        A second call should be cheap (see `recsys.data.cache.cached`).

        Raises:
            DataError: the data cannot be read.
        """

    def on_this_machine(self) -> "Source":
        """Return this source as it is loaded for a finished run, perhaps on another machine than that of the run."""
        return self

    def check(self) -> Iterator[str]:
        """Yield an error message for every option that cannot work, before any data is read."""
        return iter(())


def check_scale(scale: Sequence[float]) -> Iterator[str]:
    """Yield an error message if the lowest rating is not below the highest, or one is too large."""
    low, high = scale
    if max(abs(low), abs(high)) > MAX_RATING:
        yield f"data.scale={list(scale)}: ratings must be between -{MAX_RATING:g} and {MAX_RATING:g}"
    if not low < high:
        yield f"data.scale={list(scale)}: the lowest rating comes first, the highest second"
