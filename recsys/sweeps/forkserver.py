"""A process that imports torch and Lightning once, and for every job forks a copy of itself.

Imports are most of a short job. The process itself never computes and touches no GPU, so that a copy of it is
as good as a fresh start; what its environment says of GPUs and threads stands before torch is imported. Linux
only: elsewhere forking a process with so many libraries loaded is not safe.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
import warnings
import weakref
from collections.abc import Sequence
from typing import IO, NoReturn

from tqdm import tqdm

AVAILABLE = sys.platform == "linux"
# What every training imports sooner or later.
MODULES = (
    "recsys.cli.train",
    "recsys.config.validate",
    "recsys.evaluation.summary",
    "recsys.training.build",
    "recsys.training.callbacks.tensorboard",
    "torch.utils.tensorboard",
)
# Bytes of a packet: more than any command has.
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
            self.connection.close()
        return self.returncode


class Server:
    """Starts jobs as forks of one process, which is made when it is first needed.

    Args:
        environment: of the process, and so of its jobs.
    """

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def warm_up(self) -> None:
        """Make the process, if there is none, and let it import; this does not wait for it."""
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                return
            self._end()
            self._connection, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "recsys.sweeps.forkserver", str(theirs.fileno())],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
            theirs.close()  # so that it ends when this process does
            weakref.finalize(self, self._process.kill)

    def start(self, command: Sequence[str], output: IO[bytes]) -> Forked:
        """Run `python -m module arguments...` in a fork.

        Raises:
            OSError: the process is gone; the next call makes another.
        """
        self.warm_up()
        stdin, ours = os.pipe()
        reply, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        message, files = json.dumps(command).encode(), [stdin, output.fileno(), theirs.fileno()]
        try:
            with theirs, self._lock:
                socket.send_fds(self._connection, [message], files)
            pid = reply.recv(LARGEST)
        except OSError:
            pid = b""
        finally:
            os.close(stdin)
        if not pid:
            os.close(ours)
            reply.close()
            raise OSError("the process that starts jobs has ended")
        return Forked(reply, int(pid), os.fdopen(ours, "wb"))

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._end()

    def _end(self) -> None:
        if self._process is not None:
            self._connection.close()
            self._process.kill()
            self._process.wait()
            self._process = None


def serve(connection: socket.socket) -> None:
    """Fork for every command that arrives; tell each its process id, then its exit code."""
    for module in MODULES:
        importlib.import_module(module)
    gc.freeze()  # what is imported is no garbage, in no fork
    # Its own lock is one for all forks: a job killed while it draws a bar would stop all others for ever.
    tqdm.set_lock(threading.RLock())
    os.close(os.pidfd_open(os.getpid()))  # where the kernel refuses, it shall do so before there is a job
    running: dict[int, tuple[int, socket.socket]] = {}
    while True:
        for ready in select.select([connection.fileno(), *running], [], [])[0]:
            if ready == connection.fileno():
                message, files, *_ = socket.recv_fds(connection, LARGEST, 3)
                if not message:
                    return  # the sweep has ended, and its jobs see that for themselves
                stdin, output, reply = files
                answer = socket.socket(fileno=reply)
                if (pid := _fork()) == 0:
                    for inherited in (connection, answer, *(other for _, other in running.values())):
                        inherited.close()  # or nobody could see that the server has died
                    _become(json.loads(message), stdin, output)
                os.close(stdin)
                os.close(output)
                running[os.pidfd_open(pid)] = pid, answer
                _tell(answer, pid)
            else:
                pid, answer = running.pop(ready)
                os.close(ready)
                _tell(answer, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
                answer.close()


def _fork() -> int:
    with warnings.catch_warnings():
        # Threads of OpenBLAS and pyarrow's allocator are there; both take care of a fork themselves.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _tell(reply: socket.socket, number: int) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # nobody waits any more
        reply.send(str(number).encode())


def _become(command: list[str], stdin: int, output: int) -> NoReturn:
    """In the fork: be `python -m module arguments...`, to the end."""
    os.setsid()
    os.dup2(stdin, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    _, _, module, *arguments = command
    sys.argv = [module, *arguments]
    code: object = 0
    # It was imported before, which is the point of it.
    warnings.filterwarnings("ignore", ".*found in sys.modules.*", RuntimeWarning)
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    if not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # an interpreter would take apart, object by object, all that it was forked with


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
