"""MovieLens releases: downloaded, read and encoded once, then loaded from the cache."""

import dataclasses
import hashlib
import logging
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from recsys.data.cache import cached, data_folder, data_folder_errors, find_cached
from recsys.data.dataset import Dataset, encode
from recsys.data.ratings_file.format import OnBadRows
from recsys.data.sources.archive import Tables
from recsys.data.sources.base import Source, check_scale
from recsys.data.sources.download import fetch, is_url
from recsys.data.sources.package import is_pinned
from recsys.data.sources.public_archive import MAX_SIZE, Archive
from recsys.errors import shortened
from recsys.types import PositiveInt

log = logging.getLogger(__name__)

Reader = Callable[[Path, str, tuple[float, float], OnBadRows], Tables]


@dataclass(frozen=True)
class MovieLens(Source):
    """A public MovieLens release, as described by conf/data/<name>.yaml.

    Attributes:
        name: the name of the archive without ".zip".
        folder: the folder inside the archive.
        reader: a function of `recsys.data.sources.archive`.
        scale: the lowest and the highest possible rating.
        address: the URL of the archive at GroupLens.
        md5: the checksum of the archive; None if GroupLens changes the archive without notice.
        members: sha256 of single files in the archive.
        package: a Python package with a copy of the data, as (requirement, sha256 of its wheel); or None.
        max_size: the largest number of bytes to accept from a server.
        mirror: a folder or URL to try before `address`; or None.
        verify: whether checksums must match.
        on_bad_rows: "error" stops at a bad row; "drop" skips and counts bad rows.
    """

    local_paths = ("mirror",)

    name: str
    folder: str
    reader: Reader
    scale: tuple[float, float]
    address: str
    md5: str | None = None
    members: dict[str, str] = field(default_factory=dict)
    package: tuple[str, str] | None = None
    max_size: PositiveInt = MAX_SIZE
    mirror: str | None = None
    verify: bool = True
    on_bad_rows: OnBadRows = "error"

    def load(self) -> Dataset:
        """Return the encoded dataset; the first call downloads and reads it, later calls map it into memory.

        Raises:
            DownloadError: no location has a usable archive.
            DataError: the archive cannot be read, or RECSYS_DATA cannot be used.
        """
        # The name decides nothing: the configuration of another run may use it for other content, or read the same
        # archive in another way.
        reader = getattr(self.reader, "func", self.reader)
        how = [self.folder, reader.__module__, reader.__qualname__, list(self.scale), self.on_bad_rows]
        original = [self.md5, *how]
        repacked = [self.md5, self.members, self.mirror, self.address, *how]
        if self.verify and self.md5:  # the content is known, so the cache can be used without the archive
            for identity in (original, repacked):
                if (dataset := find_cached(self.name, identity)) is not None:
                    return dataset
        archive = self._fetch()
        with archive.open("rb") as file:
            content = hashlib.file_digest(file, "md5").hexdigest()
        is_repacked = self.verify and self.md5 and content != self.md5
        return cached(self.name, repacked if is_repacked else [content, *how], lambda: self._read(archive))

    def on_this_machine(self) -> "MovieLens":
        """Return this source with the mirror of this machine, if RECSYS_MIRROR names one."""
        return dataclasses.replace(self, mirror=os.environ.get("RECSYS_MIRROR") or self.mirror)

    def check(self) -> Iterator[str]:
        """Yield an error message if the name, the package or the scale is not possible."""
        if not re.fullmatch(r"[\w-][\w.-]{,99}", self.name):
            yield f"data.name={self.name!r:.80}: letters, digits, '.', '_' and '-' only; <name>.zip is the archive"
        if self.package is not None and not is_pinned(self.package[0]):
            yield f"data.package={shortened(self.package[0])}: must be name==version, and the sha256 of its wheel"
        if self.mirror and (user := _user_of(self.mirror)):
            yield (
                f"data.mirror: names the user {shortened(user)} and perhaps a password, which would be written to the "
                "run folder; put them into ~/.netrc"
            )
        yield from check_scale(self.scale)

    def _fetch(self) -> Path:
        facts = {field.name: getattr(self, field.name) for field in dataclasses.fields(Archive)}
        with data_folder_errors():
            return fetch(Archive(**facts), data_folder() / "archives", self.mirror or None, self.verify)

    def _read(self, archive: Path) -> Dataset:
        log.info("%s: reading %s", self.name, archive)
        scale = (float(self.scale[0]), float(self.scale[1]))
        tables = self.reader(archive, self.folder, scale, self.on_bad_rows)
        return encode(self.name, tables.ratings, tables.items, scale, tables.dropped, tables.users)


def _user_of(address: str) -> str | None:
    """Return the user in an address such as https://me:secret@host; None if there is none, or if it is a folder."""
    try:
        return urlsplit(address).username if is_url(address) else None
    except ValueError:
        return None
