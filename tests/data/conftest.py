import threading
from collections.abc import Callable, Iterator
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
        headers: those of the requests.
        more: headers of every answer, in place of others of the same name.
        on_range: from (status, headers) of the answer to a range to those that are sent.
        open: while it is cleared, answers wait.
    """

    def __init__(self) -> None:
        self.pages: dict[str, tuple[bytes, int, str | None]] = {}
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.more: dict[str, str] = {}
        self.on_range: Callable[[int, dict[str, str]], tuple[int, dict[str, str]]] = lambda *sent: sent
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
                web.headers.append(dict(self.headers))
                headers = {"Content-Length": str(length)} | ({"ETag": version} if version else {}) | web.more
                status = 200
                if wanted and self.headers["If-Range"] == version:
                    start = int(wanted.removeprefix("bytes=").removesuffix("-"))
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
