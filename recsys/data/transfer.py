"""One file from an address; what a broken connection has left is gone on with."""

import hashlib
from pathlib import Path

import requests
from tqdm import tqdm

PIECE = 1 << 14  # bytes written at a time; so many at most are lost when a connection breaks
AS_IT_LIES = {"Accept-Encoding": "identity"}  # not packed for the way, so that bytes can be counted


def transfer(address: str, copy: Path, parts: Path, timeout: tuple[float, float]) -> None:
    """Fetch a file, or the rest of it.

    Where the server names the version of its file (by a strong ETag), what has come so far is kept in
    `parts`, under a name that tells address and version, until it is whole; otherwise every call starts anew.

    Args:
        address: http or https.
        copy: where the whole file is put.
        parts: a folder on the same file system, made where it is needed.
        timeout: seconds to connect, seconds without a byte.

    Raises:
        requests.RequestException: the server cannot be reached, refuses, or breaks off.
    """
    with requests.get(address, headers=AS_IT_LIES, stream=True, timeout=timeout) as answer:
        answer.raise_for_status()
        version, size = answer.headers.get("ETag", ""), int(answer.headers.get("Content-Length", 0))
        part, have = copy, 0
        if size and version.startswith('"'):
            part = parts / hashlib.sha256(f"{address} {version}".encode()).hexdigest()
            parts.mkdir(exist_ok=True)
            have = part.stat().st_size if part.exists() else 0
        if not have:
            _receive(answer, part, 0)
    if 0 < have < size:
        rest = {**AS_IT_LIES, "Range": f"bytes={have}-", "If-Range": version}
        with requests.get(address, headers=rest, stream=True, timeout=timeout) as answer:
            answer.raise_for_status()
            _receive(answer, part, have if answer.status_code == requests.codes.partial else 0)
    part.replace(copy)


def _receive(answer: requests.Response, part: Path, have: int) -> None:
    """Write what comes after the first `have` bytes."""
    total = have + int(answer.headers.get("Content-Length", 0))
    with (
        tqdm(total=total or None, initial=have, unit="B", unit_scale=True, leave=False, disable=None) as bar,
        part.open("ab" if have else "wb") as file,
    ):
        for piece in answer.iter_content(PIECE):
            file.write(piece)
            bar.update(len(piece))
