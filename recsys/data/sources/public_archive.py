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

# Bytes. The largest archive, ml-latest, is 350 MB and grows by some 10 % a year; a server that sends without end
# cannot fill more of the disk than this.
MAX_SIZE = 1_000_000_000


@dataclass(frozen=True)
class Archive:
    """A public archive.

    Attributes:
        name: the file name without ".zip".
        address: the URL at its publisher.
        md5: the checksum of the archive; None if the publisher changes the archive without notice.
        members: sha256 of files in the archive; if the md5 differs, an archive is accepted if all of these match.
        package: a Python package with a copy of the data, as (requirement, sha256 of its wheel); or None.
        max_size: the largest number of bytes to accept.
    """

    name: str
    address: str
    md5: str | None = None
    members: dict[str, str] = field(default_factory=dict)
    package: tuple[str, str] | None = None
    max_size: int = MAX_SIZE


def verify_archive(path: Path, archive: Archive, verify_checksums: bool) -> tuple[bool, str]:
    """Verify a copy of an archive.

    Args:
        path: the copy.
        archive: what it should be.
        verify_checksums: whether to verify checksums; if false, only check that it is a zip archive without repeated
            files.

    Returns:
        Whether its md5 proves that it is the original, and a description of the check for the log.

    Raises:
        DownloadError: it is not a zip archive, holds a file twice, or a checksum does not match.
        Exception: zipfile and zlib raise many types for a damaged file.
    """
    names = _names_in(path)
    if not verify_checksums:
        log.warning("%s: checksum not verified (data.verify=false)", archive.name)
        return False, "not verified"
    if archive.md5 is None:
        return False, "not verified: the archive has no fixed checksum"
    if (md5 := _digest(path.open("rb"), "md5")) == archive.md5:
        return True, "md5 matches"
    if (difference := _difference(path, archive, names)) is not None:
        raise DownloadError(f"md5 is {md5}, {archive.md5} expected{difference}")
    verified = ", ".join(Path(member).name for member in archive.members)
    return False, f"sha256 of {verified} matches; its other files are not verified"


def _difference(path: Path, archive: Archive, names: list[str]) -> str | None:
    """Return how the members with a checksum differ, for a message; None if all of them are the original ones."""
    if not archive.members:
        return ""
    with zipfile.ZipFile(path) as file:
        for member, sha256 in archive.members.items():
            if member not in names:
                return f"; {member} is missing"
            if member_digest(file, member) != sha256:
                return f"; {member} has another sha256"
    return None


def _names_in(path: Path) -> list[str]:
    """Return the names of the files in a zip archive.

    Raises:
        DownloadError: it is not a zip archive, or holds a file twice, which the reader would refuse later.
    """
    try:
        with zipfile.ZipFile(path) as file:
            names = file.namelist()
    except (zipfile.BadZipFile, NotImplementedError):
        size = path.stat().st_size
        raise DownloadError(f"not a zip archive ({size} bytes, starts with {_start(path)!r})") from None
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise DownloadError(f"holds {shortened(twice[0])} more than once")
    return names


def member_digest(file: zipfile.ZipFile, member: str) -> str:
    """Return the sha256 of a file in an archive.

    Raises:
        DownloadError: the file is missing, held more than once, too large, or compressed with an unsupported method.
    """
    try:
        return _digest(file.open(checked_member(file, member)), "sha256")
    except DataError as problem:
        raise DownloadError(str(problem)) from None


def _digest(stream: IO[bytes], algorithm: str) -> str:
    """Return the checksum of a stream from its current position, and close the stream."""
    with stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()  # type: ignore[arg-type]


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(20)
