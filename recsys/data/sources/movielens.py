"""A MovieLens release: fetched, read, encoded once, and mapped from the cache ever after."""

import dataclasses
import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from recsys.data.cache import cached, data_folder, data_folder_in_use
from recsys.data.dataset import Dataset, encode
from recsys.data.ratings_file.format import OnBadRows
from recsys.data.sources.archive import Tables
from recsys.data.sources.download import Archive, fetch

log = logging.getLogger(__name__)

Reader = Callable[[Path, str, tuple[float, float], OnBadRows], Tables]


@dataclass(frozen=True)
class MovieLens:
    """One public release; its facts stand in conf/data/<name>.yaml.

    Attributes:
        name: the archive's name without ".zip".
        folder: the folder inside the archive.
        reader: a function of `recsys.data.sources.archive`.
        scale: the lowest and the highest rating.
        address: where GroupLens keeps the archive.
        md5: of the whole archive, or None.
        members: sha256 of single members.
        package: requirement and wheel sha256 of a Python package that holds a copy, or None.
        mirror: a folder or an address asked first.
        verify: whether checksums must agree.
        on_bad_rows: "error" or "drop".
    """

    name: str
    folder: str
    reader: Reader
    scale: tuple[float, float]
    address: str
    md5: str | None = None
    members: dict[str, str] = field(default_factory=dict)
    package: tuple[str, str] | None = None
    mirror: str | None = None
    verify: bool = True
    on_bad_rows: OnBadRows = "error"

    def load(self) -> Dataset:
        """The encoded data set; a second call, in this process or another, only maps files into memory.

        Raises:
            DownloadError: no mirror has it.
            DataError: it cannot be read, or RECSYS_DATA cannot be used.
        """
        identity = [self.md5, self.members, list(self.scale), self.on_bad_rows]
        if self.verify and self.md5:  # what the archive holds is known, so it need not even be there
            return cached(self.name, identity, lambda: self._read(self._fetch()))
        archive = self._fetch()
        with archive.open("rb") as file:
            content = hashlib.file_digest(file, "md5").hexdigest()
        return cached(self.name, [*identity, content], lambda: self._read(archive))

    def _fetch(self) -> Path:
        known = {item.name: getattr(self, item.name) for item in dataclasses.fields(Archive)}
        with data_folder_in_use():
            return fetch(Archive(**known), data_folder() / "archives", self.mirror or None, self.verify)

    def _read(self, archive: Path) -> Dataset:
        log.info("%s: reading %s", self.name, archive)
        scale = (float(self.scale[0]), float(self.scale[1]))
        tables = self.reader(archive, self.folder, scale, self.on_bad_rows)
        return encode(self.name, tables.ratings, tables.items, scale, tables.dropped, tables.users)
