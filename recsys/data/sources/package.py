"""ml-100k from the copy in the Python package RecBole, for networks that can reach only a package index."""

import hashlib
import re
import subprocess
import sys
import zipfile
from pathlib import Path

from recsys.data.sources.archive import DAMAGED, read_member
from recsys.errors import DataError, DownloadError, first_line


def is_pinned(requirement: str) -> bool:
    """Return whether a requirement is a name and a version, such as recbole==1.2.1."""
    return re.fullmatch(r"[A-Za-z0-9][\w.-]*==[\w.]+", requirement, re.ASCII) is not None


def copy_from_package(requirement: str, sha256: str, name: str, copy: Path) -> None:
    """Build an archive from the copy of the data in a package, which is downloaded, but neither installed nor run.

    Args:
        requirement: name==version. For others, such as the URL of a source archive, pip would run code to build it.
        sha256: the checksum of the wheel.
        name: the name of the data set.
        copy: the archive to write.

    Raises:
        DownloadError: the requirement is not name==version, pip fails, or the wheel is not the expected one or has no
            such data set.
    """
    if not is_pinned(requirement):
        raise DownloadError("the package must be given as name==version, such as recbole==1.2.1")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += [
        "--only-binary=:all:",
        "--timeout=20",
        "--retries=1",
        "--dest",
        str(copy.parent),
        "--",
        requirement,
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=300)
    except subprocess.TimeoutExpired:
        raise DownloadError("pip did not finish within 300 seconds") from None
    wheels = list(copy.parent.glob("*.whl"))
    if done.returncode or not wheels:
        lines = done.stderr.strip().splitlines() or ["pip found no package"]
        raise DownloadError(lines[-1])
    with wheels[0].open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != sha256:
        raise DownloadError(f"the wheel has sha256 {actual}, expected {sha256}")
    try:
        files = _official_layout(_read_tables(wheels[0], name))
    except (DataError, OSError, IndexError, ValueError, *DAMAGED) as error:
        reason = first_line(error).removeprefix(f"{wheels[0]}: ")
        raise DownloadError(f"the wheel has no readable copy of {name} ({reason})") from None
    with zipfile.ZipFile(copy, "w", zipfile.ZIP_DEFLATED) as built:
        for member, data in files.items():
            built.writestr(f"{name}/{member}", data)


def _read_tables(wheel: Path, name: str) -> dict[str, bytes]:
    """Return the tables inter, item and user of a data set.

    Raises:
        DataError: a table is missing or cannot be read; see `read_member`.
    """
    with zipfile.ZipFile(wheel) as file:
        return {
            suffix: read_member(file, f"recbole/dataset_example/{name}/{name}.{suffix}")
            for suffix in ("inter", "item", "user")
        }


def _official_layout(tables: dict[str, bytes]) -> dict[str, bytes]:
    """Convert the three tables of the package to the files of ml-100k.

    The tables have a header line and separate columns for title, year and genres. They have no release dates,
    and the year of the unknown movie is "unkonwn" (sic).
    """
    users = tables["user"].split(b"\n", 1)[1].replace(b"\t", b"|")
    items = [line.split("\t") for line in tables["item"].decode().splitlines()[1:]]
    genres = sorted(
        {genre for item in items for genre in item[3].split(" ")}, key=lambda g: (g != "unknown", g)
    )
    lines = []
    for number, title, year, item_genres in items:
        full_title = "unknown" if year == "unkonwn" else f"{title} ({year})"  # the year of a video is "V"
        flags = ["1" if genre in item_genres.split(" ") else "0" for genre in genres]
        lines.append("|".join([number, full_title, "", "", "", *flags]))
    return {
        "u.data": tables["inter"].split(b"\n", 1)[1],
        "u.item": ("\n".join(lines) + "\n").encode("latin-1"),
        "u.genre": "".join(f"{genre}|{index}\n" for index, genre in enumerate(genres)).encode(),
        "u.user": users,
    }
