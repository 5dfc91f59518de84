import gzip
from pathlib import Path

import pytest
import requests

from recsys.data.sources.transfer import CHUNK_SIZE, received_bytes, transfer

DATA = bytes(range(256)) * 256
SIZE = len(DATA)
INTERRUPTED = requests.exceptions.ChunkedEncodingError
TIMEOUT = (5, 60)


def incomplete(folder: Path) -> list[bytes]:
    """Return the content of all incomplete files."""
    return [part.read_bytes() for part in folder.glob("parts/*")]


def download(address: str, folder: Path) -> bytes:
    transfer(address, folder / "copy", folder / "parts", TIMEOUT)
    return (folder / "copy").read_bytes()


def interrupt(web, folder: Path, end: int, version: str | None) -> None:
    """Download from a server that announces DATA, but sends only `end` bytes of it."""
    address = web.put("/file", DATA[:end], length=SIZE, version=version)
    with pytest.raises(INTERRUPTED):
        download(address, folder)
    web.requested.clear()


@pytest.mark.parametrize("end", [0, 1, CHUNK_SIZE - 1, CHUNK_SIZE, 2 * CHUNK_SIZE + 7, SIZE - 1])
def test_only_the_rest_is_requested(web, tmp_path: Path, end: int) -> None:
    interrupt(web, tmp_path, end, '"1"')
    received = len(incomplete(tmp_path)[0])
    assert incomplete(tmp_path) == [DATA[:received]]
    assert end - CHUNK_SIZE < received <= end
    assert download(web.put("/file", DATA, version='"1"'), tmp_path) == DATA
    assert web.requested == ["/file", f"/file bytes={received}-"] if received else ["/file"]
    assert incomplete(tmp_path) == []


def test_a_download_can_be_interrupted_repeatedly(web, tmp_path: Path) -> None:
    for end in range(CHUNK_SIZE, SIZE, CHUNK_SIZE):
        interrupt(web, tmp_path, end, '"1"')
        assert incomplete(tmp_path) == [DATA[:end]]
    assert download(web.put("/file", DATA, version='"1"'), tmp_path) == DATA


def test_a_complete_file_that_was_not_renamed_is_used(web, tmp_path: Path) -> None:
    interrupt(web, tmp_path, SIZE // 2, '"1"')
    next(tmp_path.glob("parts/*")).write_bytes(DATA)
    assert download(web.put("/file", DATA, version='"1"'), tmp_path) == DATA
    assert web.requested == ["/file"]


@pytest.mark.parametrize("version", [None, 'W/"1"'], ids=["none", "weak"])
def test_a_file_without_a_version_is_not_resumed(web, tmp_path: Path, version: str | None) -> None:
    interrupt(web, tmp_path, SIZE // 2, version)
    assert incomplete(tmp_path) == []
    assert download(web.put("/file", DATA, version=version), tmp_path) == DATA
    assert web.requested == ["/file"]


def test_another_version_is_downloaded_from_the_start(web, tmp_path: Path) -> None:
    interrupt(web, tmp_path, SIZE // 2, '"1"')
    assert download(web.put("/file", DATA[::-1], version='"2"'), tmp_path) == DATA[::-1]
    assert web.requested == ["/file"]


@pytest.mark.parametrize(
    "change",
    [
        {"status": 200},
        {"status": 403},
        {"status": 416},
        {"Content-Range": f"bytes 0-{SIZE // 2 - 1}/{SIZE}"},
        {"Content-Range": f"bytes {SIZE // 2}-{SIZE - 1}/{SIZE + 1}"},
        {"Content-Range": f"bytes {SIZE // 2}-{SIZE - 2}/{SIZE}", "Content-Length": str(SIZE // 2 - 1)},
        {"ETag": '"2"'},
        {"Content-Encoding": "gzip"},
    ],
    ids=str,
)
def test_a_response_that_is_not_the_rest_is_ignored(web, tmp_path: Path, change: dict) -> None:
    interrupt(web, tmp_path, SIZE // 2, '"1"')
    web.on_range = lambda status, sent: (change.get("status", status), {**sent, **change})
    assert download(web.put("/file", DATA, version='"1"'), tmp_path) == DATA
    assert web.requested == ["/file", f"/file bytes={SIZE // 2}-", "/file"]
    assert not (tmp_path / "parts").exists()


def test_an_incomplete_file_that_is_too_long_is_ignored(web, tmp_path: Path) -> None:
    interrupt(web, tmp_path, SIZE // 2, '"1"')
    next(tmp_path.glob("parts/*")).write_bytes(DATA + b"x")
    assert download(web.put("/file", DATA, version='"1"'), tmp_path) == DATA


def test_only_one_incomplete_file_per_url_is_kept(web, tmp_path: Path) -> None:
    for version in ('"1"', '"2"', '"3"'):
        interrupt(web, tmp_path, SIZE // 2, version)
    assert incomplete(tmp_path) == [DATA[: SIZE // 2]]
    assert received_bytes(f"{web.address}/file", tmp_path / "parts") == SIZE // 2
    assert received_bytes(f"{web.address}/other", tmp_path / "parts") == 0
    other = web.put("/other", DATA[::-1], version='"3"')  # the same version, of another file
    assert download(other, tmp_path) == DATA[::-1]


def test_no_compression_is_requested(web, tmp_path: Path) -> None:
    """A compressed response cannot be resumed, so nothing of it is kept."""
    compressed = gzip.compress(DATA)
    address = web.put("/file", compressed[:-9], length=len(compressed), version='"1"')
    web.extra_headers = {"Content-Encoding": "gzip"}
    with pytest.raises(requests.RequestException):
        download(address, tmp_path)
    assert incomplete(tmp_path) == []
    assert {headers["Accept-Encoding"] for headers in web.headers} == {"identity"}


@pytest.mark.parametrize("length", ["", "many", f"{SIZE}, {SIZE}"])
def test_a_length_that_is_not_a_number_is_ignored(web, tmp_path: Path, length: str) -> None:
    web.extra_headers = {"Content-Length": length}
    assert download(web.put("/file", DATA, version='"1"'), tmp_path) == DATA
