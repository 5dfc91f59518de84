"""What a tracker knows about a run before it is trained."""

import hashlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsys.runs.folder import SWEEP, TRACKER_ID, read_json, write_json


@dataclass(frozen=True)
class TrackedRun:
    """A run that is recorded by trackers.

    Attributes:
        folder: the run folder.
        config: its resolved configuration, as plain values.
        name: its name in a sweep, such as "embedding_dim=32"; "" outside of a sweep.
        swept: the keys that the sweep varies; () outside of a sweep.
    """

    folder: Path
    config: dict[str, Any]
    name: str = ""
    swept: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The name that a tracker shows."""
        return self.name or self.folder.name

    @property
    def sweep(self) -> Path | None:
        """The folder of the sweep; None outside of a sweep."""
        folder = self.folder.parent
        return folder if (folder / SWEEP).is_file() else None

    @property
    def id(self) -> str:
        """The id of the run in its trackers, which a resumed run keeps."""
        record = self.folder / TRACKER_ID
        if not record.is_file():
            write_json(record, {"token": secrets.token_hex(16)})
        return _id_of(self.folder, read_json(record).get("token"))

    @property
    def sweep_id(self) -> str:
        """The id of the sweep in its trackers, which all its jobs share."""
        assert self.sweep is not None
        return _id_of(self.sweep, read_json(self.sweep / SWEEP).get("id"))


def _id_of(folder: Path, token: object) -> str:
    """Return 16 hexadecimal digits that depend on the place of a folder and on a random token in it.

    A run folder from someone else contains a token of their choice. Without its path, they could choose the id of one
    of your own runs, and resuming theirs would change yours. A run whose folder was moved is a new run to its trackers.
    """
    return hashlib.sha256(os.fsencode(folder.resolve()) + f"\n{token}".encode()).hexdigest()[:16]
