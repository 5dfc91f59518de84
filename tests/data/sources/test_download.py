import dataclasses
import errno
import hashlib
import io
import logging
import os
import subprocess
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import platformdirs
import pytest
import requests
from support.archives import pack, package_tables, sample_ratings, tabs_members, zipped

from recsys.data.cache import data_folder
from recsys.data.sources import download, transfer
from recsys.data.sources.archive import read_tabs
from recsys.data.sources.download import fetch
from recsys.data.sources.public_archive import Archive
from recsys.errors import DownloadError

ROWS = sample_ratings()
MEMBERS = tabs_members(ROWS)
DATA = "ml-100k/u.data"
PAGE = b"<!DOCTYPE html><html><body>Sign in</body></html>"


def sha256(data: str | bytes) -> str:
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()


GOOD = zipped(MEMBERS)
REPACKED = zipped(MEMBERS, zipfile.ZIP_STORED)
OTHER = zipped({**MEMBERS, DATA: "1\t1\t1\t1\n"})
DAMAGED = REPACKED.replace(b"\t", b"\xff", 1)
GOOD_MD5 = hashlib.md5(GOOD).hexdigest()
KEPT = f"tiny-{hashlib.sha256(GOOD_MD5.encode()).hexdigest()[:8]}.zip"  # the name of GOOD in the folder for archives
OTHER_MD5 = hashlib.md5(OTHER).hexdigest()


def archive(address: str, **facts: object) -> Archive:
    return Archive("tiny", address, **{"md5": GOOD_MD5, **facts})


def content(folder: Path) -> list[str]:
    """Return all files and folders, hidden ones too, except locks."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.suffix != ".lock")


def test_an_archive_is_downloaded_once(web, tmp_path: Path) -> None:
    known = archive(web.put("/official.zip", GOOD))
    for _ in range(2):
        path = fetch(known, tmp_path / "kept")
        assert path == tmp_path / "kept" / KEPT
        assert path.read_bytes() == GOOD
    assert content(tmp_path / "kept") == [KEPT]
    assert web.requested == ["/official.zip"]


@pytest.mark.parametrize("kind", ["folder", "address", "address/"])
def test_the_mirror_is_tried_first(web, tmp_path: Path, kind: str) -> None:
    pack(tmp_path / "mirror" / "tiny.zip", {}).write_bytes(GOOD)
    web.put("/mirror/tiny.zip", GOOD)
    mirror = kind.replace("folder", str(tmp_path / "mirror")).replace("address", f"{web.address}/mirror")
    known = archive(web.put("/official.zip", OTHER))
    assert fetch(known, tmp_path / "kept", mirror).read_bytes() == GOOD
    assert "/official.zip" not in web.requested
    assert (tmp_path / "mirror" / "tiny.zip").read_bytes() == GOOD


BAD = {
    "404": (None, {}, "the server answered 404 Not Found"),
    "page": (PAGE, {}, "not a zip archive (48 bytes, starts with b'<!DOCTYPE html><html')"),
    "empty": (b"", {}, "not a zip archive (0 bytes, starts with b'')"),
    "truncated": (GOOD[:500], {"length": len(GOOD)}, "the connection was interrupted"),
    "cut": (GOOD[:500], {}, f"not a zip archive (500 bytes, starts with {GOOD[:20]!r})"),
    "other": (OTHER, {}, f"md5 is {OTHER_MD5}, {GOOD_MD5} expected; {DATA} has another sha256"),
    "damaged": (DAMAGED, {}, f"Bad CRC-32 for file '{DATA}'"),
}


@pytest.mark.parametrize(("body", "claims", "reason"), BAD.values(), ids=BAD.keys())
def test_a_bad_mirror_is_skipped_and_reported(
    web, closed: str, tmp_path: Path, body: bytes | None, claims: dict, reason: str
) -> None:
    members, kept, mirror = {DATA: sha256(MEMBERS[DATA])}, tmp_path / "kept", f"{web.address}/mirror"
    if body is not None:
        web.put("/mirror/tiny.zip", body, **claims)
    with pytest.raises(DownloadError) as error:
        fetch(archive(f"{closed}/official.zip", members=members), kept, mirror)
    assert str(error.value).splitlines() == [
        "tiny: no location has a usable archive",
        f"  {mirror}/tiny.zip: {reason}",
        f"  {closed}/official.zip: cannot be reached (no network, or the server is down)",
        "Put tiny.zip into a folder and set RECSYS_MIRROR=<folder>; data.verify=false accepts any checksum",
    ]
    assert content(kept) == []

    official = web.put("/official.zip", GOOD)
    assert fetch(archive(official, members=members), kept, mirror).read_bytes() == GOOD
    assert content(kept) == [KEPT]


def test_an_interrupted_download_is_resumed(web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "CHUNK_SIZE", 100)
    known, kept = archive(web.put("/official.zip", GOOD[:500], len(GOOD), '"1"')), tmp_path / "kept"
    with pytest.raises(DownloadError) as error:
        fetch(known, kept)
    assert "the connection was interrupted; 500 bytes were received" in str(error.value)
    assert KEPT not in content(kept)
    web.put("/official.zip", GOOD, version='"1"')
    assert fetch(known, kept).read_bytes() == GOOD
    assert web.requested == ["/official.zip", "/official.zip", "/official.zip bytes=500-"]
    assert content(kept) == [KEPT]


def test_a_full_disk_deletes_the_incomplete_file(
    web, closed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(address: str, copy: Path, parts: Path, max_size: int) -> None:
        parts.mkdir()
        (parts / "incomplete").write_bytes(b"x")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download, "transfer", fill)
    with pytest.raises(DownloadError, match="No space left on device"):
        fetch(archive(closed), tmp_path / "kept")
    assert content(tmp_path / "kept") == []


def test_a_mirror_folder_without_the_archive_is_reported(closed: str, tmp_path: Path) -> None:
    with pytest.raises(DownloadError) as error:
        fetch(archive(closed), tmp_path / "kept", str(tmp_path))
    assert f"  {tmp_path / 'tiny.zip'}: no such file\n  {closed}: cannot be reached" in str(error.value)


def test_a_large_file_or_a_pipe_in_a_mirror_folder_is_not_copied(closed: str, tmp_path: Path) -> None:
    with (tmp_path / "tiny.zip").open("wb") as file:
        file.truncate(2**40)  # takes no space
    with pytest.raises(DownloadError, match=r"1,099,511,627,776 bytes, more than data\.max_size=5000"):
        fetch(archive(closed, max_size=5000), tmp_path / "kept", str(tmp_path))
    (tmp_path / "tiny.zip").unlink()
    os.mkfifo(tmp_path / "tiny.zip")
    with pytest.raises(DownloadError, match=r"tiny\.zip: not a regular file"):
        fetch(archive(closed), tmp_path / "kept", str(tmp_path))


@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        (requests.exceptions.SSLError("[SSL: CERTIFICATE_VERIFY_FAILED]"), "its certificate was refused"),
        (
            requests.exceptions.SSLError("[SSL] record layer failure"),
            "no secure connection; it may not be an https",
        ),
        (requests.exceptions.ProxyError("x"), "the proxy refuses, or cannot be reached; check HTTPS_PROXY"),
        (requests.exceptions.ConnectTimeout("x"), "no connection within 5 seconds"),
        (requests.exceptions.ReadTimeout("read timed out\nat length"), "no data for 60 seconds\n"),
        (ValueError("a\nb"), "cannot be read (ValueError: a)\n"),
        (OSError("disk full \x1b[31m"), "disk full ?[31m\n"),
        (OSError("x" * 300), f"{'x' * 200}...\n"),
        (OSError(), "OSError\n"),
    ],
)
def test_other_failures_are_reported_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: Exception, reason: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise problem

    monkeypatch.setattr(requests.Session, "get", fail)
    with pytest.raises(DownloadError) as error:
        fetch(archive("http://127.0.0.1/official.zip"), tmp_path)
    assert f"\n  http://127.0.0.1/official.zip: {reason}" in str(error.value)


def test_a_mirror_that_is_not_a_url_is_skipped(web, tmp_path: Path) -> None:
    known = archive(web.put("/official.zip", GOOD))
    assert fetch(known, tmp_path, "http://[::bad").read_bytes() == GOOD


def test_an_archive_larger_than_max_size_is_refused(web, tmp_path: Path) -> None:
    known = archive(web.put("/official.zip", GOOD), max_size=len(GOOD) - 1)
    with pytest.raises(
        DownloadError, match=f"announces {len(GOOD):,} bytes, and data.max_size={len(GOOD) - 1}"
    ):
        fetch(known, tmp_path / "kept")
    assert content(tmp_path / "kept") == []


def test_what_killed_downloads_of_an_archive_left_is_removed(web, tmp_path: Path) -> None:
    for name in ("tiny", "tiny-small"):
        (tmp_path / f".{name}.fetching-x1").mkdir()
        (tmp_path / f".{name}.fetching-x1" / "archive.zip").write_bytes(b"x")
    fetch(archive(web.put("/official.zip", GOOD)), tmp_path)
    assert content(tmp_path) == [".tiny-small.fetching-x1", ".tiny-small.fetching-x1/archive.zip", KEPT]


def test_a_repacked_archive_is_accepted_if_all_checksums_match(web, tmp_path: Path) -> None:
    members = {name: sha256(data) for name, data in MEMBERS.items()}
    known = archive(web.put("/official.zip", REPACKED), members=members)
    assert fetch(known, tmp_path).read_bytes() == REPACKED
    assert fetch(known, tmp_path).read_bytes() == REPACKED
    assert web.requested == ["/official.zip"]


def test_an_archive_with_another_checksum_is_not_replaced(web, tmp_path: Path) -> None:
    """The checksum and the location may be those of a stranger's configuration."""
    path = fetch(archive(web.put("/official.zip", GOOD)), tmp_path)
    stranger = archive(web.put("/stranger.zip", OTHER), md5=hashlib.md5(OTHER).hexdigest())
    assert fetch(stranger, tmp_path).read_bytes() == OTHER
    assert path.read_bytes() == GOOD


def test_an_archive_of_version_0_1_is_used_and_never_replaced(web, tmp_path: Path) -> None:
    old = tmp_path / "tiny.zip"
    old.write_bytes(GOOD)
    assert fetch(archive(web.put("/official.zip", GOOD)), tmp_path) == old
    old.write_bytes(OTHER)
    assert fetch(archive(web.put("/official.zip", GOOD)), tmp_path).read_bytes() == GOOD
    assert old.read_bytes() == OTHER


def test_a_repacked_archive_is_used_for_its_address_only(web, tmp_path: Path) -> None:
    """A stranger's archive may have the original ratings, and other titles."""
    members = {DATA: sha256(MEMBERS[DATA])}
    fetch(archive(web.put("/stranger.zip", REPACKED), members=members), tmp_path)
    assert fetch(archive(web.put("/official.zip", GOOD), members=members), tmp_path).read_bytes() == GOOD


@pytest.mark.parametrize(
    ("body", "members", "message"),
    [
        (REPACKED, {}, " expected\n"),
        (REPACKED, {DATA: sha256("else")}, f" expected; {DATA} has another sha256\n"),
        (REPACKED, {"ml-100k/lost": sha256("")}, " expected; ml-100k/lost is missing\n"),
    ],
    ids=["no checksums", "one differs", "one is missing"],
)
def test_a_repacked_archive_is_refused_otherwise(
    web, tmp_path: Path, body: bytes, members: dict, message: str
) -> None:
    known = archive(web.put("/official.zip", body), members=members)
    with pytest.raises(DownloadError) as error:
        fetch(known, tmp_path / "kept")
    assert message in str(error.value)
    assert content(tmp_path / "kept") == []


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("verify", [True, False])
def test_an_archive_with_a_file_twice_is_not_kept(web, tmp_path: Path, verify: bool) -> None:
    """The reader refuses it, so it must not stay in the place of the original, nor stop the next location."""
    twice = io.BytesIO(REPACKED)
    with zipfile.ZipFile(twice, "a") as file:
        file.writestr(DATA, MEMBERS[DATA])
    members = {DATA: sha256(MEMBERS[DATA])}
    known = archive(web.put("/official.zip", twice.getvalue()), members=members)
    with pytest.raises(DownloadError, match=rf"holds .?{DATA}.? more than once"):
        fetch(known, tmp_path / "kept", verify=verify)
    assert content(tmp_path / "kept") == []
    web.put("/official.zip", GOOD)
    assert fetch(known, tmp_path / "kept", verify=verify).read_bytes() == GOOD


def test_an_archive_without_a_checksum_is_accepted(web, tmp_path: Path) -> None:
    known = archive(web.put("/official.zip", OTHER), md5=None)
    assert fetch(known, tmp_path).read_bytes() == OTHER


def test_unverified_archives_are_separate(web, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    known = archive(web.put("/official.zip", OTHER))
    assert fetch(known, tmp_path, verify=False).read_bytes() == OTHER
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        "tiny: checksum not verified (data.verify=false)"
    ]
    (kept,) = (tmp_path / "unverified").glob("[!.]*")
    assert content(tmp_path) == ["unverified", f"unverified/{kept.name}"]
    assert fetch(known, tmp_path, verify=False).read_bytes() == OTHER
    assert web.requested == ["/official.zip"]
    with pytest.raises(DownloadError, match="md5 is"):
        fetch(known, tmp_path)
    web.put("/official.zip", GOOD)
    assert fetch(known, tmp_path).read_bytes() == GOOD
    assert content(tmp_path) == [KEPT, "unverified", f"unverified/{kept.name}"]


@pytest.mark.parametrize("md5", [GOOD_MD5, None])
def test_an_archive_that_another_configuration_downloaded_is_not_used(
    md5: str | None, web, tmp_path: Path
) -> None:
    """The configuration of a stranger's run may give any address and any checksum."""
    other_md5 = md5 and hashlib.md5(OTHER).hexdigest()
    fetch(archive(web.put("/stranger.zip", OTHER), md5=other_md5), tmp_path)
    assert fetch(archive(web.put("/official.zip", GOOD), md5=md5), tmp_path).read_bytes() == GOOD


@pytest.mark.parametrize(("md5", "verify"), [(GOOD_MD5, False), (None, True)])
def test_without_a_checksum_the_mirror_folder_is_always_read(
    closed: str, tmp_path: Path, md5: str | None, verify: bool
) -> None:
    mirror = tmp_path / "mirror"
    for body in (OTHER, REPACKED):
        pack(mirror / "tiny.zip", {}).write_bytes(body)
        path = fetch(archive(closed, md5=md5), tmp_path / "kept", str(mirror), verify)
        assert path.read_bytes() == body
    (mirror / "tiny.zip").unlink()
    assert fetch(archive(closed, md5=md5), tmp_path / "kept", str(mirror), verify).read_bytes() == REPACKED


def test_a_web_page_is_refused_even_without_verification(web, tmp_path: Path) -> None:
    known = archive(web.put("/official.zip", PAGE))
    with pytest.raises(DownloadError, match="not a zip archive") as error:
        fetch(known, tmp_path, verify=False)
    assert "data.verify" not in str(error.value)
    assert content(tmp_path) == []


def test_concurrent_downloads_end_with_one_archive(web, tmp_path: Path) -> None:
    known = archive(web.put("/official.zip", GOOD))
    start, found = threading.Barrier(4), []

    def fetch_concurrently() -> None:
        start.wait()
        found.append(fetch(known, tmp_path / "kept").read_bytes())

    threads = [threading.Thread(target=fetch_concurrently) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [GOOD] * 4
    assert content(tmp_path / "kept") == [KEPT]


def wheel_of(tables: dict[str, str | bytes]) -> bytes:
    """Return a wheel with tables of ml-100k, by suffix."""
    return zipped({f"recbole/dataset_example/ml-100k/ml-100k.{k}": v for k, v in tables.items()})


def wheel_of_equal_tables(content: str | bytes) -> bytes:
    return wheel_of(dict.fromkeys(("inter", "item", "user"), content))


class TestPackage:
    """The copy in a Python package, with a fake pip that writes a wheel."""

    WHEEL = wheel_of(package_tables(sample_ratings()))

    @pytest.fixture
    def pip(self, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[list[str]]]:
        def fake(code: int = 0, stderr: str = "", wheel: bytes | None = self.WHEEL) -> list[list[str]]:
            calls: list[list[str]] = []

            def run(command: list[str], **_: object) -> subprocess.CompletedProcess:
                calls.append(command)
                if wheel is not None:
                    (Path(command[command.index("--dest") + 1]) / "package-1.0-py3-none-any.whl").write_bytes(
                        wheel
                    )
                return subprocess.CompletedProcess(command, code, "", stderr)

            monkeypatch.setattr(subprocess, "run", run)
            return calls

        return fake

    def known(self, closed: str) -> Archive:
        return Archive(
            "ml-100k",
            closed,
            GOOD_MD5,
            {DATA: sha256(MEMBERS[DATA])},
            ("package==1.0", sha256(self.WHEEL)),
        )

    def test_its_tables_equal_those_of_the_archive(self, pip: Callable, closed: str, tmp_path: Path) -> None:
        calls = pip()
        built = fetch(self.known(closed), tmp_path / "kept")
        original = pack(tmp_path / "ml-100k.zip", MEMBERS)
        built_tables, tables = (read_tabs(path, "ml-100k", (1, 5), "error") for path in (built, original))
        pd.testing.assert_frame_equal(built_tables.ratings, tables.ratings)
        pd.testing.assert_frame_equal(built_tables.items, tables.items)
        with zipfile.ZipFile(built) as file:
            for member in ("u.data", "u.user", "u.genre"):
                assert file.read(f"ml-100k/{member}").decode().strip() == MEMBERS[f"ml-100k/{member}"].strip()
        assert calls[0][-1] == "package==1.0"
        assert {"--no-deps", "--only-binary=:all:"} < set(calls[0])
        assert content(tmp_path / "kept") == ["unverified", f"unverified/{built.name}"]

    @pytest.mark.parametrize(
        ("result", "reason"),
        [
            (
                {"code": 1, "stderr": "WARNING: x\nERROR: No matching distribution", "wheel": None},
                "ERROR: No mat",
            ),
            ({"wheel": None}, "pip found no package"),
            ({"wheel": b"other"}, f"the wheel has sha256 {sha256(b'other')}, expected {sha256(WHEEL)}"),
        ],
    )
    def test_failures_of_pip_are_reported(
        self, pip: Callable, closed: str, tmp_path: Path, result: dict, reason: str
    ) -> None:
        pip(**result)
        with pytest.raises(DownloadError) as error:
            fetch(self.known(closed), tmp_path / "kept")
        assert f"\n  Python package package==1.0: {reason}" in str(error.value)
        assert content(tmp_path / "kept") == []

    @pytest.mark.parametrize(
        ("wheel", "reason"),
        [
            (b"no zip file", "File is not a zip file"),
            (zipped({"recbole/__init__.py": ""}), "holds no recbole/dataset_example/ml-100k/ml-100k.inter"),
            (wheel_of_equal_tables(b"\0" * 10**6), "claims to unpack"),
            (wheel_of_equal_tables(""), "list index out of range"),
            (wheel_of_equal_tables(b"\xff\n\xff"), "can't decode"),
        ],
    )
    def test_a_wheel_without_the_data_is_refused(
        self, wheel: bytes, reason: str, pip: Callable, closed: str, tmp_path: Path
    ) -> None:
        pip(wheel=wheel)
        known = dataclasses.replace(self.known(closed), package=("package==1.0", sha256(wheel)))
        with pytest.raises(DownloadError, match=f"the wheel has no readable copy of ml-100k .*{reason}"):
            fetch(known, tmp_path / "kept")
        assert content(tmp_path / "kept") == []

    def test_pip_has_a_time_limit(self, closed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def run(command: list[str], timeout: float, **_: object) -> None:
            raise subprocess.TimeoutExpired(command, timeout)

        monkeypatch.setattr(subprocess, "run", run)
        with pytest.raises(DownloadError, match="pip did not finish within 300 seconds"):
            fetch(self.known(closed), tmp_path)


def test_the_data_folder_is_recsys_data_or_the_user_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RECSYS_DATA", "~/items")
    assert data_folder() == tmp_path / "items"
    monkeypatch.setenv("RECSYS_DATA", "")
    assert data_folder() == Path(platformdirs.user_cache_dir("recsys"))


def test_a_package_that_is_not_pinned_is_never_given_to_pip(tmp_path: Path) -> None:
    """pip runs the code of a source distribution or a repository to find out its version."""
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil" / "setup.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    known = Archive(
        "tiny", "http://127.0.0.1:1/tiny.zip", package=(f"evil @ file://{tmp_path}/evil", "0" * 64)
    )
    with pytest.raises(DownloadError, match="the package must be given as name==version"):
        fetch(known, tmp_path / "archives")
    assert not (tmp_path / "ran").exists()
