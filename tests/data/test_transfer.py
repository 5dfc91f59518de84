from pathlib import Path

import pytest
import requests

from recsys.data.transfer import PIECE, transfer

DATA = bytes(range(256)) * 256
SIZE = len(DATA)
BROKEN = requests.exceptions.ChunkedEncodingError
TIMEOUT = (5, 60)


def kept(folder: Path) -> list[bytes]:
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
    have = len(kept(tmp_path)[0])
    assert kept(tmp_path) == [DATA[:have]]
    assert end - PIECE < have <= end
    assert fetched(web.put("/file", DATA, version='"1"'), tmp_path) == DATA
    assert web.asked == ["/file", f"/file bytes={have}-"] if have else ["/file"]
    assert kept(tmp_path) == []


def test_broken_off_again_and_again(web, tmp_path: Path) -> None:
    for end in range(PIECE, SIZE, PIECE):
        break_off(web, tmp_path, end, '"1"')
        assert kept(tmp_path) == [DATA[:end]]
    assert fetched(web.put("/file", DATA, version='"1"'), tmp_path) == DATA


def test_all_of_it_was_there_but_had_not_got_its_name(web, tmp_path: Path) -> None:
    break_off(web, tmp_path, SIZE // 2, '"1"')
    next(tmp_path.glob("parts/*")).write_bytes(DATA)
    assert fetched(web.put("/file", DATA, version='"1"'), tmp_path) == DATA
    assert web.asked == ["/file"]


@pytest.mark.parametrize("version", [None, 'W/"1"'], ids=["none", "weak"])
def test_nothing_is_kept_of_what_has_no_version(web, tmp_path: Path, version: str | None) -> None:
    break_off(web, tmp_path, SIZE // 2, version)
    assert kept(tmp_path) == []
    assert fetched(web.put("/file", DATA, version=version), tmp_path) == DATA
    assert web.asked == ["/file"]


def test_another_version_is_fetched_from_its_start(web, tmp_path: Path) -> None:
    break_off(web, tmp_path, SIZE // 2, '"1"')
    assert fetched(web.put("/file", DATA[::-1], version='"2"'), tmp_path) == DATA[::-1]
    assert web.asked == ["/file"]


def test_a_server_without_ranges_sends_all_of_it(web, tmp_path: Path) -> None:
    break_off(web, tmp_path, SIZE // 2, '"1"')
    web.knows_ranges = False
    assert fetched(web.put("/file", DATA, version='"1"'), tmp_path) == DATA
    assert web.asked == ["/file", f"/file bytes={SIZE // 2}-"]
