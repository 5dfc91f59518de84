from collections.abc import Iterator

import pytest
from hypothesis import settings
from support.servers import Files, serving

settings.register_profile("data", deadline=None, max_examples=20)  # tests may be slow on a busy machine
settings.load_profile("data")


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Files]:
    """A local web server without files."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    files = Files()
    with serving(files) as server:
        files.address = server.address
        yield files
        files.open.set()


@pytest.fixture
def closed(web: Files) -> str:
    """A URL that refuses connections."""
    with serving(web) as server:
        return server.address
