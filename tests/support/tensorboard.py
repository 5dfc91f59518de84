"""A TensorBoard server."""

import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def tensorboard(logdir: Path, port: int, is_ready: Callable[[bytes], bool]) -> Iterator[str]:
    """Start TensorBoard, wait until `is_ready` accepts its list of runs, and yield its address."""
    address, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 60
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(logdir), "--port", str(port)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            while time.monotonic() < deadline:
                with suppress(OSError), urllib.request.urlopen(f"{address}/data/runs") as answer:
                    if is_ready(answer.read()):
                        break
                time.sleep(0.2)
            yield address
        finally:
            process.kill()
