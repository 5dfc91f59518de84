"""Download one file over HTTP, and resume interrupted downloads."""

import hashlib
import logging
import re
import stat
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from tqdm import tqdm

from recsys.errors import DownloadError

TIMEOUT = (5, 60)  # seconds to connect, and seconds without receiving data
CHUNK_SIZE = 1 << 14  # bytes written at once; at most this much is lost if the connection breaks
MAX_REDIRECTS = 10
MAX_DIGITS = 18  # of a Content-Length; int() refuses more than 4,300
STRONG_ETAG = re.compile(r'"[!#-~]{1,200}"')  # others may not be valid in an If-Range header


class _Session(requests.Session):
    """Leaves redirects to `_request`: requests would read the body of each into memory, however long it is."""

    def get_redirect_target(self, resp: Any) -> None:
        """Return None, so that requests does not follow redirects."""


def transfer(address: str, copy: Path, parts: Path, max_size: int) -> None:
    """Download a file, or the rest of it if an earlier call was interrupted.

    An interrupted download can be resumed only if the server gives the length and the version of the file (a
    strong ETag). Otherwise every call starts from the beginning.

    Args:
        address: an http or https URL.
        copy: the path of the complete file.
        parts: a folder for incomplete files on the same file system; created if needed.
        max_size: the largest number of bytes to accept.

    Raises:
        requests.RequestException: the server cannot be reached or refuses, or the connection breaks.
        DownloadError: the server redirects too often or to something other than an http or https URL, or sends a
            compressed or too large file.
        Exception: of any other type, from a library that cannot parse a malformed response.
    """
    try:
        _transfer(address, copy, parts, max_size)
    finally:
        if parts.exists() and not any(parts.iterdir()):
            parts.rmdir()


def _transfer(address: str, copy: Path, parts: Path, max_size: int) -> None:
    with _request(address) as response:
        response.raise_for_status()
        if response.status_code != requests.codes.ok:  # for example a part of the file that was not asked for
            raise DownloadError(f"the server answered {response.status_code} {response.reason}")
        _refuse_compressed(response)
        size, version = _content_length(response), response.headers.get("ETag", "")
        if size > max_size:
            raise DownloadError(
                f"the server announces {size:,} bytes, and data.max_size={max_size} allows fewer"
            )
        if not size or not STRONG_ETAG.fullmatch(version):
            _receive(response, copy, 0, size, max_size)
            return
        part = _part_path(address, version, parts)
        received = part.stat().st_size if part.exists() else 0
        if not 0 < received <= size:
            received = 0
            _receive(response, part, 0, size, max_size)
    if 0 < received < size:
        with _request(address, {"Range": f"bytes={received}-", "If-Range": version}) as response:
            if is_rest := _is_rest(response, received, size, version):
                _receive(response, part, received, size, max_size)
        if not is_rest:
            part.unlink()
            _transfer(address, copy, parts, max_size)
            return
    part.replace(copy)


def received_bytes(address: str, parts: Path) -> int:
    """Return how many bytes of an interrupted download have been received."""
    return sum(part.stat().st_size for part in parts.glob(f"{_digest(address)}-*"))


def _request(address: str, headers: dict[str, str] | None = None) -> requests.Response:
    """Send a GET request and follow redirects, but only to http and https.

    The request asks for no compression: compressed bytes cannot be matched with a range.
    """
    headers = {"Accept-Encoding": "identity", **(headers or {})}
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # it logs malformed headers with a traceback
    for _ in range(1 + MAX_REDIRECTS):
        with _Session() as session:
            response = session.get(address, headers=headers, stream=True, timeout=TIMEOUT)
        if not response.is_redirect:
            return response
        with response:
            # requests decodes headers as latin-1, and most servers send UTF-8.
            location = response.headers["Location"].encode("latin-1").decode("utf-8", "replace")
        address = _redirected(address, location)
    raise DownloadError(f"more than {MAX_REDIRECTS} redirects")


def _redirected(address: str, location: str) -> str:
    """Return the URL to which `address` redirects."""
    try:
        target = urljoin(address, location)
        is_web = urlsplit(target).scheme in ("http", "https")
    except ValueError:
        is_web = False
    if not is_web:
        raise DownloadError(f"the server redirects to {location[:80]!r}, which is not an http or https URL")
    return target


def _refuse_compressed(response: requests.Response) -> None:
    """Refuse a compressed body: it was not requested, and a few bytes of it can unpack to gigabytes."""
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding.strip().lower() not in ("", "identity"):
        raise DownloadError(f"the server sends Content-Encoding {encoding[:80]!r}, which was not requested")


def _part_path(address: str, version: str, parts: Path) -> Path:
    """Return the path of the incomplete file, and delete those of other versions, links and pipes.

    A link would lead to another file, and a pipe would block.
    """
    parts.mkdir(exist_ok=True)
    part = parts / f"{_digest(address)}-{_digest(version)}"
    for other in parts.glob(f"{_digest(address)}-*"):
        status = other.lstat()
        if other != part or not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            other.unlink()
    return part


def _content_length(response: requests.Response) -> int:
    """Return the number of bytes in the body; 0 if unknown."""
    length = response.headers.get("Content-Length", "")
    if "Content-Encoding" in response.headers or not re.fullmatch("[0-9]+", length):
        return 0
    return int(length) if len(length) <= MAX_DIGITS else 10**MAX_DIGITS


def _is_rest(response: requests.Response, received: int, size: int, version: str) -> bool:
    """Return whether a response is the same version of the file, from byte `received` to its end."""
    headers = response.headers
    return (
        response.status_code == requests.codes.partial
        and headers.get("Content-Range") == f"bytes {received}-{size - 1}/{size}"
        and headers.get("ETag", version) == version
        and _content_length(response) == size - received
    )


def _receive(response: requests.Response, part: Path, received: int, size: int, max_size: int) -> None:
    """Append the body of a response to a file that has `received` of `size` bytes (0 if unknown).

    If the body is longer than `size`, or than `max_size` where the size is unknown, the file is deleted.
    """
    limit = size or max_size
    with (
        tqdm(
            total=size or None, initial=received, unit="B", unit_scale=True, leave=False, disable=None
        ) as progress,
        part.open("ab" if received else "wb") as file,
    ):
        for chunk in response.iter_content(CHUNK_SIZE):
            received += len(chunk)
            if received > limit:
                break
            file.write(chunk)
            progress.update(len(chunk))
    if received > limit:
        part.unlink()
        allowed = f"the {size:,} that it announced" if size else f"data.max_size={max_size} allows"
        raise DownloadError(f"the server sends more bytes than {allowed}")
    if received < size:
        raise requests.exceptions.ChunkedEncodingError("the server sent too few bytes")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
