import gzip
from pathlib import Path

import pytest
import requests

from recsys.data.sources.transfer import PIECE, kept, transfer

DATA = bytes(range(256)) * 256
SIZE = len(DATA)
BROKEN = requests.exceptions.ChunkedEncodingError
TIMEOUT = (5, 60)


def come(folder: Path) -> list[bytes]:
    """What has come so far."""
    return [part.read_bytes() for part in folder.glob("parts/*")]


def fetched(address: str, folder: Path) -> bytes:
    transfer(address, folder / "copy", folder / "parts", TIMEOUT)
    return (folder / "copy").read_bytes()


def break_off(web, folder: Path, end: int, version: str | None) -> None:
    """A server promises DATA, and sends `end` bytes of it."""
    address = web.put("/file", DATA[:end], length=SIZE, version=version)
    with pytest.raises(BROKEN):
        fetched(address, folder)
    web.asked.clear()


@pytest.mark.parametrize("end", [0, 1, PIECE - 1, PIECE, 2 * PIECE + 7, SIZE - 1])
def test_only_the_rest_is_asked_for(web, tmp_path: Path, end: int) -> None:
    break_off(web, tmp_path, end, '"1"')
    have = len(come(tmp_path)[0])
    assert come(tmp_path) == [DATA[:have]]
    assert end - PIECE < have <= end
    assert fetched(web.put("/file", DATA, version='"1"'), tmp_path) == DATA
    assert web.asked == ["/file", f"/file bytes={have}-"] if have else ["/file"]
    assert come(tmp_path) == []


def test_broken_off_again_and_again(web, tmp_path: Path) -> None:
    for end in range(PIECE, SIZE, PIECE):
        break_off(web, tmp_path, end, '"1"')
        assert come(tmp_path) == [DATA[:end]]
    assert fetched(web.put("/file", DATA, version='"1"'), tmp_path) == DATA


def test_all_of_it_was_there_but_had_not_got_its_name(web, tmp_path: Path) -> None:
    break_off(web, tmp_path, SIZE // 2, '"1"')
    next(tmp_path.glob("parts/*")).write_bytes(DATA)
    assert fetched(web.put("/file", DATA, version='"1"'), tmp_path) == DATA
    assert web.asked == ["/file"]


@pytest.mark.parametrize("version", [None, 'W/"1"'], ids=["none", "weak"])
def test_nothing_is_kept_of_what_has_no_version(web, tmp_path: Path, version: str | None) -> None:
    break_off(web, tmp_path, SIZE // 2, version)
    assert come(tmp_path) == []
    assert fetched(web.put("/file", DATA, version=version), tmp_path) == DATA
    assert web.asked == ["/file"]


def test_another_version_is_fetched_from_its_start(web, tmp_path: Path) -> None:
    break_off(web, tmp_path, SIZE // 2, '"1"')
    assert fetched(web.put("/file", DATA[::-1], version='"2"'), tmp_path) == DATA[::-1]
    assert web.asked == ["/file"]


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
def test_an_answer_that_is_not_the_rest_is_left_for_the_whole(web, tmp_path: Path, change: dict) -> None:
    break_off(web, tmp_path, SIZE // 2, '"1"')
    web.on_range = lambda status, sent: (change.get("status", status), {**sent, **change})
    assert fetched(web.put("/file", DATA, version='"1"'), tmp_path) == DATA
    assert web.asked == ["/file", f"/file bytes={SIZE // 2}-", "/file"]
    assert not (tmp_path / "parts").exists()


def test_a_part_that_is_too_long_is_none(web, tmp_path: Path) -> None:
    break_off(web, tmp_path, SIZE // 2, '"1"')
    next(tmp_path.glob("parts/*")).write_bytes(DATA + b"x")
    assert fetched(web.put("/file", DATA, version='"1"'), tmp_path) == DATA


def test_one_part_of_an_address_is_kept(web, tmp_path: Path) -> None:
    for version in ('"1"', '"2"', '"3"'):
        break_off(web, tmp_path, SIZE // 2, version)
    assert come(tmp_path) == [DATA[: SIZE // 2]]
    assert kept(f"{web.address}/file", tmp_path / "parts") == SIZE // 2
    assert kept(f"{web.address}/other", tmp_path / "parts") == 0
    other = web.put("/other", DATA[::-1], version='"3"')  # the same version, of another file
    assert fetched(other, tmp_path) == DATA[::-1]


def test_the_bytes_come_as_they_lie_there(web, tmp_path: Path) -> None:
    """What was packed for the way cannot be counted, so nothing of it is kept."""
    packed = gzip.compress(DATA)
    address = web.put("/file", packed[:-9], length=len(packed), version='"1"')
    web.more = {"Content-Encoding": "gzip"}
    with pytest.raises(requests.RequestException):
        fetched(address, tmp_path)
    assert come(tmp_path) == []
    assert {headers["Accept-Encoding"] for headers in web.headers} == {"identity"}


@pytest.mark.parametrize("length", ["", "many", f"{SIZE}, {SIZE}"])
def test_a_length_that_is_no_number_is_unknown(web, tmp_path: Path, length: str) -> None:
    web.more = {"Content-Length": length}
    assert fetched(web.put("/file", DATA, version='"1"'), tmp_path) == DATA
