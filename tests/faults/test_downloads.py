"""Downloads from slow and broken servers, and in processes that are killed."""

import hashlib
import os
import shutil
import signal
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.archives import sample_ratings, tabs_members, zipped
from support.processes import FORK, killed_after
from support.servers import Request, Server, response, serving

from recsys.data.sources import transfer
from recsys.data.sources.download import fetch
from recsys.data.sources.public_archive import Archive
from recsys.errors import DownloadError

GOOD = zipped(tabs_members(sample_ratings()))
MD5 = hashlib.md5(GOOD).hexdigest()


class Slow:
    """Sends an archive in eight parts with pauses; the first `interrupted` responses end in the middle."""

    pause, interrupted, status, requests = 0.0, 0, 200, 0

    def __call__(self, _: Request) -> Iterator[bytes]:
        self.requests += 1
        yield response(self.status, {"Content-Length": str(len(GOOD))})
        size = -(-len(GOOD) // 8)
        for number in range(8):
            if self.requests <= self.interrupted and number == 4:
                return
            time.sleep(self.pause)
            yield GOOD[number * size : (number + 1) * size]


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Slow, Server, Archive]]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    handler = Slow()
    with serving(handler) as server:
        yield handler, server, Archive("tiny", f"{server.address}/tiny.zip", MD5)


@pytest.mark.slow
def test_only_a_silent_server_times_out(slow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handler, _, archive = slow
    monkeypatch.setattr(transfer, "TIMEOUT", (5, 0.5))
    handler.pause = 0.2
    assert fetch(archive, tmp_path / "a").read_bytes() == GOOD
    handler.pause = 1.5
    with pytest.raises(DownloadError, match=r"no data for 0\.5 seconds"):
        fetch(archive, tmp_path / "b")


def test_an_interrupted_download_succeeds_when_repeated(slow, tmp_path: Path) -> None:
    handler, _, archive = slow
    handler.interrupted = 1
    with pytest.raises(DownloadError, match="the connection was interrupted"):
        fetch(archive, tmp_path)
    assert not list(tmp_path.glob("*.zip"))
    assert fetch(archive, tmp_path).read_bytes() == GOOD


def test_an_error_of_the_server_is_reported(slow, tmp_path: Path) -> None:
    handler, _, archive = slow
    handler.status = 503
    with pytest.raises(DownloadError, match="the server answered 503 Service Unavailable"):
        fetch(archive, tmp_path)


def test_an_expired_certificate_is_refused(slow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not shutil.which("openssl"):
        pytest.skip("requires the openssl command")
    _, server, _ = slow
    (tmp_path / "names").write_text("subjectAltName=DNS:localhost")
    for command in (
        "openssl req -new -newkey rsa:2048 -nodes -subj /CN=localhost -keyout key -out request",
        "openssl x509 -req -in request -signkey key -days -1 -extfile names -out certificate",
    ):
        if subprocess.run(command.split(), capture_output=True, cwd=tmp_path).returncode:
            pytest.skip("this openssl cannot make an expired certificate")
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))  # trusted, but expired
    archive = Archive("tiny", f"https://localhost:{server.server_address[1]}/tiny.zip", MD5)
    with pytest.raises(DownloadError, match="its certificate was refused"):
        fetch(archive, tmp_path / "kept")


@pytest.mark.slow
def test_a_killed_download_leaves_no_incomplete_archive(slow, tmp_path: Path) -> None:
    handler, _, archive = slow
    handler.pause = 0.01
    for number in range(10):
        folder = tmp_path / str(number)
        killed_after(0.012 * number, lambda folder=folder: fetch(archive, folder))
        assert [path.read_bytes() for path in folder.glob("*.zip")] in ([], [GOOD])
        assert fetch(archive, folder).read_bytes() == GOOD


@pytest.mark.slow
def test_a_killed_download_releases_its_lock(slow, tmp_path: Path) -> None:
    handler, _, archive = slow
    handler.pause = 0.05
    first, second = (FORK.Process(target=fetch, args=(archive, tmp_path)) for _ in range(2))
    first.start()
    while not handler.requests:
        time.sleep(0.005)
    second.start()
    os.kill(first.pid, signal.SIGKILL)
    second.join(60)
    assert second.exitcode == 0
    (path,) = tmp_path.glob("tiny-*.zip")
    assert path.read_bytes() == GOOD
