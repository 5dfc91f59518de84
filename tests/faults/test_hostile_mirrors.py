"""Responses of a hostile or broken server: each is one line of the message, and the next location is tried."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.archives import sample_ratings, tabs_members, zipped
from support.servers import Request, response, serving

from recsys.data.sources import transfer
from recsys.data.sources.download import fetch
from recsys.data.sources.public_archive import Archive
from recsys.errors import DownloadError

GOOD = zipped(tabs_members(sample_ratings()))
ENTRY = GOOD.index(b"PK\x01\x02") + 6  # where the version that is needed to unpack the first file is
FUTURE = GOOD[:ENTRY] + b"\xff" + GOOD[ENTRY + 1 :]
MD5 = hashlib.md5(GOOD).hexdigest()


def ok(*headers: bytes, body: bytes = b"x") -> bytes:
    return b"\r\n".join([b"HTTP/1.1 200 OK", *headers, b"", body])


def redirect(location: bytes) -> bytes:
    return b"\r\n".join([b"HTTP/1.1 302 Found", b"Location: " + location, b"", b""])


NOT_HTTP = "the response is not valid HTTP"
NOT_A_ZIP = "not a zip archive"
NOT_READ = "cannot be read"
ETAG_AND_LENGTH = b"Content-Length: 9\r\nETag: "
RESPONSES = {
    "redirect to half an address": (redirect(b"http://[::bad"), "redirects to 'http://[::bad', which is not"),
    "redirect to a file": (
        redirect(b"file:///etc/passwd"),
        "redirects to 'file:///etc/passwd', which is not",
    ),
    "redirect to ftp": (redirect(b"ftp://127.0.0.1/tiny.zip"), "which is not an http or https URL"),
    "redirect to an empty label": (redirect(b"http://a..b/"), NOT_READ),
    "redirect to a long label": (redirect(b"http://" + b"a" * 70 + b"/"), NOT_READ),
    "redirect to no port": (redirect(b"http://127.0.0.1:99999999/"), "127.0.0.1:99999999"),
    "redirect to bytes": (redirect(b"\xff\xfe"), "more than 10 redirects"),
    "redirect to itself": (redirect(b"/mirror/tiny.zip"), "more than 10 redirects"),
    "status line": (b"\x00\xff\x00\r\n\r\n", NOT_HTTP),
    "status": (b"HTTP/1.1 99999 OK\r\n\r\n", NOT_HTTP),
    "reason": (b"HTTP/1.1 500 \x1b[31m\r" + b"y" * 5000 + b"\r\n\r\n", "the server answered 500 ?[31m"),
    "no response": (b"", "cannot be reached"),
    "many headers": (ok(*[b"X: 1"] * 200), NOT_HTTP),
    "long header": (ok(b"X: " + b"1" * 70_000), NOT_HTTP),
    "header that is not text": (ok(b"X-\xff\xfe: \xff", b'ETag: "\xff"', b"Content-Length: 1"), NOT_A_ZIP),
    "length of 5000 digits": (ok(b"Content-Length: " + b"9" * 5000), "and data.max_size=1000000000 allows"),
    "length below 0": (ok(b"Content-Length: -5"), NOT_A_ZIP),
    "length with a sign": (ok(b"Content-Length: +1"), NOT_A_ZIP),
    "folded version": (ok(ETAG_AND_LENGTH + b'"1\r\n x"'), "the connection was interrupted"),
    "long version": (ok(ETAG_AND_LENGTH + b'"' + b"1" * 60_000 + b'"'), "the connection was interrupted"),
    "chunk that is not a number": (ok(b"Transfer-Encoding: chunked", body=b"zz\r\n"), "was interrupted"),
    "chunk below 0": (ok(b"Transfer-Encoding: chunked", body=b"-5\r\nx"), NOT_READ),
    "part of a file": (ok(body=GOOD[500:]).replace(b"200 OK", b"206 Partial"), "the server answered 206"),
    "unknown status": (ok(body=GOOD).replace(b"200 OK", b"999 Odd"), "the server answered 999 Odd"),
    "zip of the future": (ok(body=FUTURE), NOT_A_ZIP),
    "compressed": (ok(b"Content-Encoding: gzip"), "'gzip', which was not requested"),
}


@pytest.mark.parametrize(("answer", "reason"), RESPONSES.values(), ids=RESPONSES.keys())
def test_a_malformed_response_is_one_line_and_the_next_location_is_tried(
    answer: bytes, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def respond(request: Request) -> Iterator[bytes]:
        yield response(body=GOOD) if request.path == "/official.zip" else answer

    with serving(respond) as server:
        official, mirror = f"{server.address}/official.zip", f"{server.address}/mirror"
        with pytest.raises(DownloadError) as error:
            fetch(Archive("tiny", f"{mirror}/tiny.zip", MD5), tmp_path / "a")
        _, line, _ = str(error.value).splitlines()
        assert line.startswith(f"  {mirror}/tiny.zip: ")
        assert reason in line
        assert line.isprintable()
        assert len(line) < 300
        assert [path for path in (tmp_path / "a").iterdir() if path.suffix != ".lock"] == []
        assert fetch(Archive("tiny", official, MD5), tmp_path / "b", mirror).read_bytes() == GOOD


def test_a_malformed_header_is_not_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """urllib3 logs the traceback of its parser, with the text of the server."""
    answer = ok(b"non\x1b[31msense", body=GOOD)
    with serving(lambda _: iter([answer])) as server:
        assert fetch(Archive("tiny", f"{server.address}/tiny.zip", MD5), tmp_path).read_bytes() == GOOD
    assert "Traceback" not in caplog.text
    assert "nonsense" not in caplog.text


def test_an_absurd_content_range_is_not_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest of an interrupted download has another Content-Range than was requested."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(transfer, "CHUNK_SIZE", 100)
    ranges: list[str] = []

    def respond(request: Request) -> Iterator[bytes]:
        headers = {"ETag": '"1"', "Content-Length": str(len(GOOD))}
        if "range" in request.headers:
            ranges.append(request.headers["range"])
            headers["Content-Range"] = f"bytes {'9' * 5000}-\xff/{'9' * 5000}"
            yield response(206, headers, GOOD)
        else:
            yield response(200, headers, GOOD if ranges else GOOD[:500])

    with serving(respond) as server:
        archive = Archive("tiny", f"{server.address}/tiny.zip", MD5)
        with pytest.raises(DownloadError, match="500 bytes were received"):
            fetch(archive, tmp_path)
        assert fetch(archive, tmp_path).read_bytes() == GOOD
    assert ranges == ["bytes=500-"]
