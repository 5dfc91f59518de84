"""Local web servers: one with files, as mirrors have them, and one that sends any bytes."""

import socketserver
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import NamedTuple


class Request(NamedTuple):
    """A GET request: its path, and its headers by lower-case name."""

    path: str
    headers: dict[str, str]


Answer = Callable[[Request], Iterable[bytes]]


def response(status: int = 200, headers: dict[str, str] | None = None, body: bytes = b"") -> bytes:
    """Return a response; without a Content-Length in `headers`, the connection ends with the body."""
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


class Server(socketserver.ThreadingTCPServer):
    """Answers every request with the bytes of `answer`, and then closes the connection.

    Attributes:
        answer: returns the parts of the response to a request; may be replaced at any time.
        requests: the requests so far.
        address: the URL of the server.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, answer: Answer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer, self.requests = answer, list[Request]()
        self.address = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_: object) -> None:
        """Ignore clients that disconnect."""


class _Handler(socketserver.StreamRequestHandler):
    server: Server

    def handle(self) -> None:
        first = self.rfile.readline().decode("latin-1").split(" ")
        headers = {}
        while line := self.rfile.readline().decode("latin-1").strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        if len(first) == 3:
            request = Request(first[1], headers)
            self.server.requests.append(request)
            for part in self.server.answer(request):
                self.wfile.write(part)


@contextmanager
def serving(answer: Answer) -> Iterator[Server]:
    """Run a server during the block."""
    with Server(answer) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


class Files:
    """Answers with `pages`, and 404 for all other paths.

    Attributes:
        pages: (body, Content-Length, ETag or None) by path.
        requested: the paths requested so far, each followed by its Range header, if any.
        accepted: the Accept-Encoding headers so far.
        extra_headers: headers added to every response; they replace others of the same name.
        on_range: changes (status, headers) of the response to a range request.
        open: responses wait until this event is set.
        address: the URL of the server.
    """

    def __init__(self) -> None:
        self.pages: dict[str, tuple[bytes, int, str | None]] = {}
        self.extra_headers: dict[str, str] = {}
        self.on_range: Callable[[int, dict[str, str]], tuple[int, dict[str, str]]] = lambda *sent: sent
        self.requested: list[str] = []
        self.accepted: list[str] = []
        self.open = threading.Event()
        self.open.set()
        self.address = ""

    def __call__(self, request: Request) -> Iterator[bytes]:
        """Yield the response to a request."""
        requested_range = request.headers.get("range", "")
        self.requested.append(f"{request.path} {requested_range}".strip())
        self.accepted.append(request.headers["accept-encoding"])
        self.open.wait(30)
        if request.path not in self.pages:
            yield response(404)
            return
        body, length, version = self.pages[request.path]
        headers = (
            {"Content-Length": str(length)} | ({"ETag": version} if version else {}) | self.extra_headers
        )
        status = 200
        if requested_range and request.headers["if-range"] == version:
            start = int(requested_range.removeprefix("bytes=").removesuffix("-"))
            body, headers["Content-Length"] = body[start:], str(length - start)
            headers["Content-Range"] = f"bytes {start}-{length - 1}/{length}"
            status, headers = self.on_range(206, headers)
        yield response(status, headers, body)

    def put(self, path: str, body: bytes, length: int | None = None, version: str | None = None) -> str:
        """Serve `body` at `path`, and return the URL."""
        self.pages[path] = body, len(body) if length is None else length, version
        return self.address + path
