"""Mirrors to one verified archive on disk; with `transfer`, the only code that touches the network."""

import hashlib
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import requests
from filelock import FileLock

from recsys.atomic import NO_ROOM, flush
from recsys.data.sources.transfer import kept, transfer
from recsys.errors import DownloadError

log = logging.getLogger(__name__)

DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError)  # what reading a broken member raises
TIMEOUT = (5, 60)  # seconds to connect, seconds without a byte


@dataclass(frozen=True)
class Archive:
    """What is known of a public archive.

    Attributes:
        name: file name without ".zip".
        address: where its publisher keeps it.
        md5: of the whole archive; None where the publisher changes it without notice.
        members: sha256 of single members; an archive packed anew is accepted where all of these agree.
        package: a Python package that holds a copy of ml-100k, as (requirement, sha256 of its wheel).
    """

    name: str
    address: str
    md5: str | None = None
    members: dict[str, str] = field(default_factory=dict)
    package: tuple[str, str] | None = None


def fetch(archive: Archive, folder: Path, mirror: str | None = None, verify: bool = True) -> Path:
    """Path of the archive on disk, fetched from the first mirror that has a good copy.

    Asked in order: what `folder` already holds, `mirror`, the official address, the copy in a Python package.
    Where no checksum is known or wanted, a mirror folder that holds the archive comes before what is kept.
    Only verified files are ever placed in `folder` (others in `folder/unverified`), by renaming, so that
    neither a partial nor a wrong file can be found there.

    Args:
        archive: which archive.
        folder: where it is kept.
        mirror: a folder or an address that holds `<name>.zip`.
        verify: whether the copy must agree with the known checksums.

    Raises:
        DownloadError: no mirror had a good copy; tells what was asked, why each failed, and the way out.
    """
    target = (folder if verify else folder / "unverified") / f"{archive.name}.zip"
    mirror_file = None
    if mirror is not None and not _is_address(mirror):
        mirror_file = Path(mirror).expanduser() / f"{archive.name}.zip"
    is_known = verify and archive.md5 is not None
    # What no checksum tells of may be another by now in the mirror folder, where that still has it.
    is_lasting = is_known or mirror_file is None or not os.path.isfile(mirror_file)
    if is_lasting and target.is_file():
        return target
    parts = folder / f".{archive.name}.parts"
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_name(f".{archive.name}.lock")):
        if is_lasting and target.is_file():
            return target  # another job fetched it meanwhile
        found = _fetch(archive, target, mirror, mirror_file, parts, verify)
        shutil.rmtree(parts, ignore_errors=True)
        return found


def _fetch(
    archive: Archive, target: Path, mirror: str | None, mirror_file: Path | None, parts: Path, verify: bool
) -> Path:
    failures = []
    for place, obtain in _mirrors(archive, mirror, mirror_file, parts):
        log.info("%s: asking %s", archive.name, place)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetching-") as temporary:
            copy = Path(temporary) / "archive.zip"
            try:
                obtain(copy)
                checked = _check(copy, archive, verify)
            except (DownloadError, OSError, requests.RequestException, *DAMAGED) as problem:
                if isinstance(problem, OSError) and problem.errno in NO_ROOM:
                    shutil.rmtree(parts, ignore_errors=True)  # room for the next
                failures.append(f"  {place}: {_reason(problem)}{_rest(problem, place, parts)}")
                continue
            flush(copy)
            copy.replace(target)
            log.info("%s: fetched from %s (%s)", archive.name, place, checked)
            return target
    raise DownloadError(
        "\n".join([f"{archive.name}: no mirror gave a usable archive", *failures])
        + f"\nWay out: put {archive.name}.zip into a folder and name it: RECSYS_MIRROR=<folder>"
        + ("; data.verify=false accepts another checksum" if verify else "")
    )


def _mirrors(
    archive: Archive, mirror: str | None, mirror_file: Path | None, parts: Path
) -> list[tuple[str, Callable[[Path], None]]]:
    mirrors: list[tuple[str, Callable[[Path], None]]] = []
    if mirror_file is not None:
        mirrors.append((str(mirror_file), lambda copy: _copy_file(mirror_file, copy)))
    elif mirror is not None:
        address = f"{mirror.rstrip('/')}/{archive.name}.zip"
        mirrors.append((address, lambda copy: transfer(address, copy, parts, TIMEOUT)))
    mirrors.append((archive.address, lambda copy: transfer(archive.address, copy, parts, TIMEOUT)))
    if archive.package is not None:
        requirement, sha256 = archive.package
        mirrors.append(
            (
                f"Python package {requirement}",
                lambda copy: _copy_package(requirement, sha256, archive.name, copy),
            )
        )
    return mirrors


def _is_address(mirror: str) -> bool:
    return urlsplit(mirror).scheme in ("http", "https")


def _copy_file(file: Path, copy: Path) -> None:
    if not file.is_file():
        raise DownloadError("no such file")
    shutil.copyfile(file, copy)


def _copy_package(requirement: str, sha256: str, name: str, copy: Path) -> None:
    """Build the archive out of the copy that a Python package carries; the package is read, never run."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--timeout=20", "--retries=1", "--dest", str(copy.parent), requirement]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    except subprocess.TimeoutExpired:
        raise DownloadError("pip gave no answer in 300 seconds") from None
    wheels = list(copy.parent.glob("*.whl"))
    if done.returncode or not wheels:
        words = done.stderr.strip().splitlines() or ["pip found nothing"]
        raise DownloadError(words[-1])
    if (found := _digest(wheels[0].open("rb"), "sha256")) != sha256:
        raise DownloadError(f"the wheel has sha256 {found}, {sha256} expected")
    with zipfile.ZipFile(wheels[0]) as wheel:
        tables = {
            suffix: wheel.read(f"recbole/dataset_example/{name}/{name}.{suffix}")
            for suffix in ("inter", "item", "user")
        }
    with zipfile.ZipFile(copy, "w", zipfile.ZIP_DEFLATED) as built:
        for member, data in _official_layout(tables).items():
            built.writestr(f"{name}/{member}", data)


def _official_layout(tables: dict[str, bytes]) -> dict[str, bytes]:
    """ml-100k's own members out of the package's three tables, each of which starts with a header line.

    The package keeps title, year and genres apart, has no release dates, and misspells the one unknown item.
    """
    users = tables["user"].split(b"\n", 1)[1].replace(b"\t", b"|")
    items = [line.split("\t") for line in tables["item"].decode().splitlines()[1:]]
    genres = sorted(
        {genre for item in items for genre in item[3].split(" ")}, key=lambda g: (g != "unknown", g)
    )
    lines = []
    for number, name, year, held in items:
        title = (
            "unknown" if year == "unkonwn" else f"{name} ({year})"
        )  # (V), of a video, counts as a year too
        flags = ["1" if genre in held.split(" ") else "0" for genre in genres]
        lines.append("|".join([number, title, "", "", "", *flags]))
    return {
        "u.data": tables["inter"].split(b"\n", 1)[1],
        "u.item": ("\n".join(lines) + "\n").encode("latin-1"),
        "u.genre": "".join(f"{genre}|{index}\n" for index, genre in enumerate(genres)).encode(),
        "u.user": users,
    }


def _check(copy: Path, archive: Archive, verify: bool) -> str:
    """How the copy was found to be good, in words."""
    if not zipfile.is_zipfile(copy):
        raise DownloadError(f"not a zip archive ({copy.stat().st_size} bytes, starts with {_start(copy)!r})")
    if not verify:
        log.warning("%s: checksum not verified (data.verify=false)", archive.name)
        return "not verified"
    if archive.md5 is None:
        return "its publisher gives no lasting checksum"
    if (found := _digest(copy.open("rb"), "md5")) == archive.md5:
        return "md5 as published"
    with zipfile.ZipFile(copy) as file:
        held = set(file.namelist())
        wrong = [member for member in archive.members if member not in held]
        for member, sha256 in archive.members.items():
            if member in held and _digest(file.open(member), "sha256") != sha256:
                wrong.append(member)
    if not archive.members or wrong:
        told = f"; {wrong[0]} is not the original" if wrong else ""
        raise DownloadError(f"md5 is {found}, {archive.md5} expected{told}")
    return "members as published"


def _digest(stream: IO[bytes], algorithm: str) -> str:
    """Of all that follows; the stream is closed."""
    with stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()  # type: ignore[arg-type]


def _start(copy: Path) -> bytes:
    with copy.open("rb") as file:
        return file.read(20)


def _rest(problem: Exception, place: str, parts: Path) -> str:
    """What is left of a transfer that broke off."""
    broke_off = isinstance(problem, requests.RequestException) and problem.response is None
    some = kept(place, parts) if broke_off else 0
    return f"; {some:,} bytes have come and are kept, and the same command goes on with them" if some else ""


def _reason(problem: Exception) -> str:
    """One line that a person understands."""
    if isinstance(problem, requests.exceptions.SSLError):
        return "its certificate was refused (expired, or not trusted on this machine)"
    if isinstance(problem, requests.exceptions.ConnectTimeout):
        return f"no connection within {TIMEOUT[0]} seconds"
    if isinstance(problem, requests.exceptions.ReadTimeout) or "Read timed out" in str(problem):
        return f"no byte for {TIMEOUT[1]:g} seconds"
    if isinstance(problem, requests.exceptions.ConnectionError):
        return "cannot be reached (no network, or the server is down)"
    if isinstance(problem, requests.exceptions.ChunkedEncodingError):
        return "the connection broke off before the end"
    if isinstance(problem, requests.exceptions.HTTPError) and problem.response is not None:
        return f"the server answered {problem.response.status_code} {problem.response.reason}"
    return str(problem).splitlines()[0] if str(problem) else type(problem).__name__
