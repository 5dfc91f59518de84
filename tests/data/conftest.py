import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import settings

settings.register_profile("data", deadline=None, max_examples=40)  # a busy machine is no failure
settings.load_profile("data")


class Web:
    """A web server on this machine: what stands in `pages` under a path is answered, all else is a 404.

    Attributes:
        pages: path to (body, the length that the header claims, its version, if the server names one).
        asked: the paths asked for, in order, each followed by the range that is wanted, if any.
        knows_ranges: whether a range is answered, or the whole body in its place.
        open: while it is cleared, answers wait.
    """

    def __init__(self) -> None:
        self.pages: dict[str, tuple[bytes, int, str | None]] = {}
        self.asked: list[str] = []
        self.knows_ranges = True
        self.open = threading.Event()
        self.open.set()
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                wanted = self.headers.get("Range", "")
                web.asked.append(f"{self.path} {wanted}".strip())
                web.open.wait(30)
                if self.path not in web.pages:
                    return self.send_error(404)
                body, length, version = web.pages[self.path]
                start = 0
                if wanted and web.knows_ranges and self.headers["If-Range"] == version:
                    start = int(wanted.removeprefix("bytes=").removesuffix("-"))
                self.send_response(206 if start else 200)
                if version:
                    self.send_header("ETag", version)
                body, length = body[start:], length - start
                self.send_header("Content-Length", str(length))
                self.end_headers()
                self.wfile.write(body)
                return None

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def put(self, path: str, body: bytes, length: int | None = None, version: str | None = None) -> str:
        """Answer `body` under `path`; its address."""
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
    """An address that nothing listens on."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.server_close()
    return f"http://127.0.0.1:{server.server_port}"
