"""Start processes that tests kill, or limit in their resources."""

import multiprocessing
import os
import resource
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
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


def without_privileges(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run recsys-train as a user whom file permissions concern, which root is only without its capabilities."""
    prefix = ["unshare", "--user"] if os.geteuid() == 0 else []
    if prefix and subprocess.run([*prefix, "true"], capture_output=True).returncode != 0:
        pytest.skip("root, and no user namespaces")
    command = [*prefix, sys.executable, "-m", "recsys.cli.train", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def on_small_disk(disk: Path, size: str, *arguments: str) -> tuple[subprocess.CompletedProcess[str], str]:
    """Run recsys-train with a folder that is a file system of a certain size; also return the names of its files."""
    prefix = ["unshare", "--map-root-user", "--mount", "bash", "-c"]
    disk.mkdir()
    mount = f"mount -t tmpfs -o size={size} tmpfs {shlex.quote(str(disk))}"
    if subprocess.run([*prefix, mount], capture_output=True).returncode != 0:
        pytest.skip("no user namespaces with mounts")
    train = shlex.join([sys.executable, "-m", "recsys.cli.train", *arguments])
    names = f"find {shlex.quote(str(disk))} -type f"
    line = f"{mount} && {{ {train}; code=$?; {names}; exit $code; }}"
    done = subprocess.run([*prefix, line], capture_output=True, text=True, timeout=120)
    return done, done.stdout


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


def processes_of_group(leader: int) -> list[int]:
    """Return the running processes of a process group."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == leader and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


@contextmanager
def two_processes(*overrides: str) -> Iterator[subprocess.Popen]:
    """Start a run of two processes (DDP on the CPU) in a process group of its own, into the folder "run".

    Their output goes to the file "log". Processes that are left at the end of the block are killed.
    """
    command = [
        sys.executable,
        "-m",
        "recsys.cli.train",
        *overrides,
        "hardware=ddp",
        "hardware.accelerator=cpu",
    ]
    with open("log", "wb") as log:
        process = subprocess.Popen(
            [*command, "hardware.devices=2", "output_dir=run"],
            start_new_session=True,
            stdout=log,
            stderr=log,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # as in a terminal
        )
    try:
        yield process
    finally:
        if processes_of_group(process.pid):
            os.killpg(process.pid, signal.SIGKILL)


def wait_for_checkpoint(process: subprocess.Popen) -> None:
    """Wait until a run of `two_processes` has its first checkpoint."""
    while not Path("run/checkpoints/last.ckpt").exists():
        assert process.poll() is None, Path("log").read_text()
        time.sleep(0.02)


def assert_group_ends(leader: int, seconds: float) -> None:
    """Wait until a process group has no running process; fail after some seconds."""
    deadline = time.monotonic() + seconds
    while processes_of_group(leader):
        assert time.monotonic() < deadline
        time.sleep(0.05)
