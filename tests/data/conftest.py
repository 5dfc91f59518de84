import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import settings

settings.register_profile("data", deadline=None, max_examples=20)  # tests may be slow on a busy machine
settings.load_profile("data")


class Web:
    """A local web server that serves `pages` and answers 404 for all other paths.

    Attributes:
        pages: (body, Content-Length, ETag or None) by path.
        requested: the paths requested so far, each followed by its Range header, if any.
        headers: the headers of all requests so far.
        extra_headers: headers added to every response; they replace others of the same name.
        on_range: changes (status, headers) of the response to a range request.
        open: responses wait until this event is set.
    """

    def __init__(self) -> None:
        self.pages: dict[str, tuple[bytes, int, str | None]] = {}
        self.requested: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.extra_headers: dict[str, str] = {}
        self.on_range: Callable[[int, dict[str, str]], tuple[int, dict[str, str]]] = lambda *sent: sent
        self.open = threading.Event()
        self.open.set()
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                requested_range = self.headers.get("Range", "")
                web.requested.append(f"{self.path} {requested_range}".strip())
                web.open.wait(30)
                if self.path not in web.pages:
                    return self.send_error(404)
                body, length, version = web.pages[self.path]
                web.headers.append(dict(self.headers))
                headers = (
                    {"Content-Length": str(length)}
                    | ({"ETag": version} if version else {})
                    | web.extra_headers
                )
                status = 200
                if requested_range and self.headers["If-Range"] == version:
                    start = int(requested_range.removeprefix("bytes=").removesuffix("-"))
                    body, headers["Content-Length"] = body[start:], str(length - start)
                    headers["Content-Range"] = f"bytes {start}-{length - 1}/{length}"
                    status, headers = web.on_range(206, headers)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)
                return None

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def put(self, path: str, body: bytes, length: int | None = None, version: str | None = None) -> str:
        """Serve `body` at `path`, and return the URL."""
        self.pages[path] = body, len(body) if length is None else length, version
        return self.address + path


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    web = Web()
    thread = threading.Thread(target=web.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield web
    web.open.set()
    web.server.shutdown()
    web.server.server_close()
    thread.join()


@pytest.fixture
def closed(web: Web) -> str:
    """A URL that refuses connections."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.server_close()
    return f"http://127.0.0.1:{server.server_port}"
