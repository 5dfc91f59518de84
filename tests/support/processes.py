"""Start processes that tests kill, or limit in their resources."""

import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from recsys.sweeps.forkserver import Forked, Server

# The default lock of tqdm is shared by forks, and a killed process never releases it.
tqdm.set_lock(threading.RLock())
FORK = multiprocessing.get_context("fork")


def started(server: Server, log: Path, *arguments: str) -> Forked:
    """Start recsys-train in a process of its own, whose output goes to the file `log`."""
    with log.open("wb") as output:
        process = server.start(["python", "-m", "recsys.cli.train", *arguments], output)
    process.stdin.close()
    return process


def killed_after(seconds: float, work: Callable[[], None]) -> None:
    """Run a function in a process of its own, and kill it after some seconds."""
    process = FORK.Process(target=work)
    process.start()
    time.sleep(seconds)
    os.kill(process.pid, signal.SIGKILL)
    process.join()


def limited(kind: int, most: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run recsys-train with a limit on a resource, such as RLIMIT_FSIZE.

    Its coverage is not measured: coverage could not write its own file either, and would report that as an error.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    return subprocess.run(
        [sys.executable, "-m", "recsys.cli.train", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
        preexec_fn=lambda: resource.setrlimit(kind, (most, most)),
    )
