"""A process that imports torch and Lightning once, and for every job forks a copy of itself.

Imports are most of a short job. The process itself never computes and touches no GPU, so that a copy of it is
as good as a fresh start; what its environment says of GPUs and threads stands before torch is imported. Linux
only: elsewhere forking a process with so many libraries loaded is not safe.
"""

import contextlib
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import warnings
from collections.abc import Sequence
from typing import IO

AVAILABLE = sys.platform == "linux"
# What every training imports sooner or later.
MODULES = (
    "recsys.train",
    "recsys.validate",
    "recsys.report",
    "recsys.training.build",
    "recsys.training.tensorboard",
    "torch.utils.tensorboard",
)
# Too large for any command; a socket of packets keeps the bounds of each.
LARGEST = 1 << 17


class Forked:
    """A job that runs as a fork; the part of `subprocess.Popen` that `recsys.sweeps.job.Process` uses."""

    def __init__(self, connection: socket.socket, pid: int, stdin: IO[bytes]) -> None:
        self.connection, self.pid, self.stdin = connection, pid, stdin
        self.returncode: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, negative for a signal.

        Raises:
            subprocess.TimeoutExpired: it still runs.
        """
        if self.returncode is None:
            if not select.select([self.connection], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("a job", timeout or 0)
            code = self.connection.recv(LARGEST)
            self.returncode = int(code) if code else -signal.SIGKILL  # the server died, and the job with it
        return self.returncode


class Server:
    """Starts jobs, one at a time, as forks of one process.

    Args:
        environment: of the process, and so of its jobs.
    """

    def __init__(self, environment: dict[str, str]) -> None:
        self.connection, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "recsys.sweeps.warm", str(theirs.fileno())],
            env=environment,
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
        theirs.close()  # so that it ends when this process does

    def start(self, command: Sequence[str], output: IO[bytes]) -> Forked:
        """Run `python -m module arguments...` in a fork.

        Raises:
            OSError: the server is gone.
        """
        read, write = os.pipe()
        try:
            socket.send_fds(self.connection, [json.dumps(command).encode()], [read, output.fileno()])
        finally:
            os.close(read)
        if not (pid := self.connection.recv(LARGEST)):
            os.close(write)
            raise OSError("the process that starts jobs has ended")
        return Forked(self.connection, int(pid), os.fdopen(write, "wb"))

    def close(self) -> None:
        """End the process."""
        self.connection.close()
        self.process.kill()
        self.process.wait()


def serve(connection: socket.socket) -> None:
    """Fork for every command that arrives; report the process id, then the exit code."""
    for module in MODULES:
        importlib.import_module(module)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the sweep has ended
        while True:
            message, files, *_ = socket.recv_fds(connection, LARGEST, 2)
            if not message:
                return
            with warnings.catch_warnings():
                # Threads of OpenBLAS and pyarrow's allocator are there; both take care of a fork themselves.
                warnings.simplefilter("ignore", DeprecationWarning)
                pid = os.fork()
            if pid == 0:
                connection.close()
                _become(json.loads(message), *files)
                return
            for file in files:
                os.close(file)
            connection.send(str(pid).encode())
            _, status = os.waitpid(pid, 0)
            connection.send(str(os.waitstatus_to_exitcode(status)).encode())


def _become(command: list[str], stdin: int, output: int) -> None:
    """In the fork: be `python -m module arguments...`."""
    os.setsid()
    os.dup2(stdin, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    _, _, module, *arguments = command
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
