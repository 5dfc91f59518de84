"""One file from an address; what a broken connection has left is gone on with."""

import hashlib
from pathlib import Path

import requests
from tqdm import tqdm

PIECE = 1 << 14  # bytes written at a time; so many at most are lost when a connection breaks


def transfer(address: str, copy: Path, parts: Path, timeout: tuple[float, float]) -> None:
    """Fetch a file, or the rest of it.

    Where the server tells the length and the version of its file (a strong ETag), what has come so far is
    kept in `parts` until it is whole; otherwise every call starts anew.

    Args:
        address: http or https.
        copy: where the whole file is put.
        parts: a folder on the same file system, made where it is needed.
        timeout: seconds to connect, seconds without a byte.

    Raises:
        requests.RequestException: the server cannot be reached, refuses, or breaks off.
    """
    with _ask(address, timeout) as answer:
        answer.raise_for_status()
        size, version = _size(answer), answer.headers.get("ETag", "")
        if not size or not version.startswith('"'):
            _receive(answer, copy, 0, size)
            return
        part = _part(address, version, parts)
        have = part.stat().st_size if part.exists() else 0
        if not 0 < have <= size:
            have = 0
            _receive(answer, part, 0, size)
    if 0 < have < size:
        with _ask(address, timeout, {"Range": f"bytes={have}-", "If-Range": version}) as answer:
            if is_rest := _is_rest(answer, have, size, version):
                _receive(answer, part, have, size)
        if not is_rest:
            part.unlink()
            transfer(address, copy, parts, timeout)
            return
    part.replace(copy)
    if not any(parts.iterdir()):
        parts.rmdir()


def kept(address: str, parts: Path) -> int:
    """How many bytes of a file have come so far."""
    return sum(part.stat().st_size for part in parts.glob(f"{_digest(address)}-*"))


def _ask(address: str, timeout: tuple[float, float], more: dict[str, str] | None = None) -> requests.Response:
    """The answer, as it lies there: bytes that were packed for the way could not be counted."""
    headers = {"Accept-Encoding": "identity", **(more or {})}
    return requests.get(address, headers=headers, stream=True, timeout=timeout)


def _part(address: str, version: str, parts: Path) -> Path:
    """The one part that is kept of an address; what there is of other versions goes."""
    parts.mkdir(exist_ok=True)
    part = parts / f"{_digest(address)}-{_digest(version)}"
    for other in parts.glob(f"{_digest(address)}-*"):
        if other != part:
            other.unlink()
    return part


def _size(answer: requests.Response) -> int:
    """Bytes that follow; 0: unknown."""
    told = answer.headers.get("Content-Length", "")
    return int(told) if told.isdecimal() and "Content-Encoding" not in answer.headers else 0


def _is_rest(answer: requests.Response, have: int, size: int, version: str) -> bool:
    """Whether an answer is what was asked for: of the same file, from `have` to its end."""
    headers = answer.headers
    return (
        answer.status_code == requests.codes.partial
        and headers.get("Content-Range") == f"bytes {have}-{size - 1}/{size}"
        and headers.get("ETag", version) == version
        and _size(answer) == size - have
    )


def _receive(answer: requests.Response, part: Path, have: int, size: int) -> None:
    """Write what comes after the first `have` of `size` bytes (0: unknown), and no more than those."""
    with (
        tqdm(total=size or None, initial=have, unit="B", unit_scale=True, leave=False, disable=None) as bar,
        part.open("ab" if have else "wb") as file,
    ):
        for piece in answer.iter_content(PIECE):
            have += len(piece)
            if size and have > size:
                raise requests.exceptions.ContentDecodingError("more bytes than were announced")
            file.write(piece)
            bar.update(len(piece))
    if have < size:
        raise requests.exceptions.ChunkedEncodingError("fewer bytes than were announced")


def _digest(words: str) -> str:
    return hashlib.sha256(words.encode()).hexdigest()[:16]
