"""Processes that are there to be killed."""

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

tqdm.set_lock(threading.RLock())  # its own is shared by forks, and a killed one never gives it back
FORK = multiprocessing.get_context("fork")


def started(server: Server, said: Path, *words: str) -> Forked:
    """recsys-train in a process of its own; what it says goes to a file."""
    with said.open("wb") as output:
        process = server.start(["python", "-m", "recsys.cli.train", *words], output)
    process.stdin.close()
    return process


def killed_after(seconds: float, work: Callable[[], None]) -> None:
    """Run in a process of its own until SIGKILL."""
    process = FORK.Process(target=work)
    process.start()
    time.sleep(seconds)
    os.kill(process.pid, signal.SIGKILL)
    process.join()


def limited(kind: int, most: int, *words: str) -> subprocess.CompletedProcess[str]:
    """recsys-train where it may have no more of a resource."""
    return subprocess.run(
        [sys.executable, "-m", "recsys.cli.train", *words],
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=lambda: resource.setrlimit(kind, (most, most)),
    )
