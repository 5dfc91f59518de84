import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import settings
from support.processes import started

from recsys.sweeps.forkserver import AVAILABLE, Forked, Server

settings.register_profile("faults", deadline=None)  # a busy machine is no failure
settings.load_profile("faults")


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """Makes processes that have torch imported, so that killing many takes seconds."""
    if not AVAILABLE:
        pytest.skip("processes are forked on Linux only")
    server = Server({**os.environ, "OMP_NUM_THREADS": "1"})
    yield server
    server.close()


@pytest.fixture
def start(server: Server, tmp_path: Path) -> Callable[..., Forked]:
    """Start recsys-train; what it says goes to `said` in the test's folder."""

    return partial(started, server, tmp_path / "said")
