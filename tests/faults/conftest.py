import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import settings
from support.processes import started

from recsys.sweeps.forkserver import AVAILABLE, Forked, Server

settings.register_profile("faults", deadline=None)  # tests may be slow on a busy machine
settings.load_profile("faults")


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """Starts processes that have torch imported, so that tests with many processes are fast."""
    if not AVAILABLE:
        pytest.skip("fork servers are available only on Linux")
    server = Server({**os.environ, "OMP_NUM_THREADS": "1"})
    yield server
    server.close()


@pytest.fixture
def start(server: Server, tmp_path: Path) -> Callable[..., Forked]:
    """Start recsys-train with its output in the file `said` of the test's folder."""

    return partial(started, server, tmp_path / "said")
