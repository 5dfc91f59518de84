"""Download one file over HTTP, and resume interrupted downloads."""

import hashlib
from pathlib import Path

import requests
from tqdm import tqdm

CHUNK_SIZE = 1 << 14  # bytes written at once; at most this much is lost if the connection breaks


def transfer(address: str, copy: Path, parts: Path, timeout: tuple[float, float]) -> None:
    """Download a file, or the rest of it if an earlier call was interrupted.

    An interrupted download can be resumed only if the server gives the length and the version of the file (a
    strong ETag). Otherwise every call starts from the beginning.

    Args:
        address: an http or https URL.
        copy: the path of the complete file.
        parts: a folder for incomplete files on the same file system; created if needed.
        timeout: seconds to connect, and seconds without receiving data.

    Raises:
        requests.RequestException: the server cannot be reached or refuses, or the connection breaks.
    """
    with _request(address, timeout) as response:
        response.raise_for_status()
        size, version = _content_length(response), response.headers.get("ETag", "")
        if not size or not version.startswith('"'):
            _receive(response, copy, 0, size)
            return
        part = _part_path(address, version, parts)
        received = part.stat().st_size if part.exists() else 0
        if not 0 < received <= size:
            received = 0
            _receive(response, part, 0, size)
    if 0 < received < size:
        with _request(address, timeout, {"Range": f"bytes={received}-", "If-Range": version}) as response:
            if is_rest := _is_rest(response, received, size, version):
                _receive(response, part, received, size)
        if not is_rest:
            part.unlink()
            transfer(address, copy, parts, timeout)
            return
    part.replace(copy)
    if not any(parts.iterdir()):
        parts.rmdir()


def received_bytes(address: str, parts: Path) -> int:
    """Return how many bytes of an interrupted download can be resumed from."""
    return sum(part.stat().st_size for part in parts.glob(f"{_digest(address)}-*"))


def _request(
    address: str, timeout: tuple[float, float], headers: dict[str, str] | None = None
) -> requests.Response:
    """Send a GET request that asks for no compression: compressed bytes cannot be matched with a range."""
    headers = {"Accept-Encoding": "identity", **(headers or {})}
    return requests.get(address, headers=headers, stream=True, timeout=timeout)


def _part_path(address: str, version: str, parts: Path) -> Path:
    """Return the path of the incomplete file, and delete those of other versions."""
    parts.mkdir(exist_ok=True)
    part = parts / f"{_digest(address)}-{_digest(version)}"
    for other in parts.glob(f"{_digest(address)}-*"):
        if other != part:
            other.unlink()
    return part


def _content_length(response: requests.Response) -> int:
    """Return the number of bytes in the body; 0 if unknown."""
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() and "Content-Encoding" not in response.headers else 0


def _is_rest(response: requests.Response, received: int, size: int, version: str) -> bool:
    """Return whether a response is the same version of the file, from byte `received` to its end."""
    headers = response.headers
    return (
        response.status_code == requests.codes.partial
        and headers.get("Content-Range") == f"bytes {received}-{size - 1}/{size}"
        and headers.get("ETag", version) == version
        and _content_length(response) == size - received
    )


def _receive(response: requests.Response, part: Path, received: int, size: int) -> None:
    """Append the body of a response to a file that has `received` of `size` bytes (0 if unknown)."""
    with (
        tqdm(
            total=size or None, initial=received, unit="B", unit_scale=True, leave=False, disable=None
        ) as progress,
        part.open("ab" if received else "wb") as file,
    ):
        for chunk in response.iter_content(CHUNK_SIZE):
            received += len(chunk)
            if size and received > size:
                raise requests.exceptions.ContentDecodingError("the server sent too many bytes")
            file.write(chunk)
            progress.update(len(chunk))
    if received < size:
        raise requests.exceptions.ChunkedEncodingError("the server sent too few bytes")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
