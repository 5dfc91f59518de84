import gzip
import itertools
import os
from pathlib import Path

import pytest
import requests
from support.servers import response, serving

from recsys.data.sources.transfer import CHUNK_SIZE, received_bytes, transfer
from recsys.errors import DownloadError

DATA = bytes(range(256)) * 256
SIZE = len(DATA)
INTERRUPTED = requests.exceptions.ChunkedEncodingError
LIMIT = 2 * SIZE


def incomplete(folder: Path) -> list[bytes]:
    """Return the content of all incomplete files."""
    return [part.read_bytes() for part in folder.glob("parts/*")]


def download(address: str, folder: Path) -> bytes:
    transfer(address, folder / "copy", folder / "parts", LIMIT)
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


@pytest.mark.parametrize("kind", ["symbolic link", "hard link", "pipe"])
def test_a_link_or_a_pipe_is_not_written_to(web, tmp_path: Path, kind: str) -> None:
    interrupt(web, tmp_path, SIZE // 2, '"1"')
    part, other = next(tmp_path.glob("parts/*")), tmp_path / "other"
    other.write_bytes(b"precious")
    part.unlink()
    if kind == "symbolic link":
        part.symlink_to(other)
    elif kind == "hard link":
        part.hardlink_to(other)
    else:
        os.mkfifo(part)
    assert download(web.put("/file", DATA, version='"1"'), tmp_path) == DATA
    assert other.read_bytes() == b"precious"
    assert not (tmp_path / "copy").is_symlink()


def test_only_one_incomplete_file_per_url_is_kept(web, tmp_path: Path) -> None:
    for version in ('"1"', '"2"', '"3"'):
        interrupt(web, tmp_path, SIZE // 2, version)
    assert incomplete(tmp_path) == [DATA[: SIZE // 2]]
    assert received_bytes(f"{web.address}/file", tmp_path / "parts") == SIZE // 2
    assert received_bytes(f"{web.address}/other", tmp_path / "parts") == 0
    other = web.put("/other", DATA[::-1], version='"3"')  # the same version, of another file
    assert download(other, tmp_path) == DATA[::-1]


@pytest.mark.parametrize("encoding", ["gzip", "br, gzip", "GZIP"])
def test_no_compression_is_requested_or_accepted(web, tmp_path: Path, encoding: str) -> None:
    """A few compressed bytes can unpack to gigabytes."""
    compressed = gzip.compress(DATA)
    address = web.put("/file", compressed, version='"1"')
    web.extra_headers = {"Content-Encoding": encoding}
    with pytest.raises(DownloadError, match=f"Content-Encoding '{encoding}', which was not requested"):
        download(address, tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert set(web.accepted) == {"identity"}


@pytest.mark.parametrize("length", [SIZE + 1, 10**30, int("9" * 4000)])
def test_a_file_announced_as_too_large_is_refused_before_it_is_received(
    web, tmp_path: Path, length: int
) -> None:
    address = web.put("/file", DATA, length, version='"1"')
    with pytest.raises(
        DownloadError, match=rf"announces [\d,]+ bytes, and data\.max_size={SIZE} allows fewer"
    ):
        transfer(address, tmp_path / "copy", tmp_path / "parts", SIZE)
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_the_largest_size_is_accepted(web, tmp_path: Path) -> None:
    transfer(web.put("/file", DATA, version='"1"'), tmp_path / "copy", tmp_path / "parts", SIZE)
    assert (tmp_path / "copy").read_bytes() == DATA


CHUNK = b"4000\r\n" + bytes(0x4000) + b"\r\n"


@pytest.mark.parametrize(
    ("headers", "part", "limit", "reason"),
    [
        ({}, bytes(1000), LIMIT, rf"more bytes than data\.max_size={LIMIT} allows"),
        ({"Transfer-Encoding": "chunked"}, CHUNK, LIMIT, rf"more bytes than data\.max_size={LIMIT} allows"),
        (
            {"Transfer-Encoding": "chunked", "Content-Length": "9999", "ETag": '"1"'},
            CHUNK,
            LIMIT,
            "more bytes than the 9,999 that it announced",
        ),
    ],
    ids=["no length", "chunked", "chunked with a length"],
)
def test_an_endless_download_is_ended_and_deleted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, headers: dict, part: bytes, limit: int, reason: str
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with (
        serving(lambda _: itertools.chain([response(200, headers)], itertools.repeat(part))) as server,
        pytest.raises(DownloadError, match=reason),
    ):
        transfer(server.address, tmp_path / "copy", tmp_path / "parts", limit)
    assert list(tmp_path.iterdir()) == []


def test_the_body_of_a_redirect_is_not_read(web, tmp_path: Path) -> None:
    """An endless body would fill the memory."""
    target = web.put("/file", DATA)
    endless = itertools.chain([response(302, {"Location": target})], itertools.repeat(bytes(1000)))
    with serving(lambda _: endless) as server:
        assert download(server.address, tmp_path) == DATA


@pytest.mark.parametrize("length", ["", "many", f"{SIZE}, {SIZE}", f"-{SIZE}", f"+{SIZE}", "\xb2"])
def test_a_length_that_is_not_a_number_is_ignored(web, tmp_path: Path, length: str) -> None:
    web.extra_headers = {"Content-Length": length}
    assert download(web.put("/file", DATA, version='"1"'), tmp_path) == DATA
