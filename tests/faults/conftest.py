import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import settings
from support.processes import started

from recsys.sweeps.forkserver import AVAILABLE, Forked, Server

settings.register_profile("faults", deadline=None)  # a test may be slow on a busy machine
settings.load_profile("faults")


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """Start processes by forking one that has imported torch, so that tests can kill many of them."""
    if not AVAILABLE:
        pytest.skip("processes are forked on Linux only")
    server = Server({**os.environ, "OMP_NUM_THREADS": "1"})
    yield server
    server.close()


@pytest.fixture
def start(server: Server, tmp_path: Path) -> Callable[..., Forked]:
    """Start recsys-train; its output goes to the file `log` in the folder of the test."""
    return partial(started, server, tmp_path / "log")
