"""A fork server: a process that imports torch and Lightning once and forks a copy of itself for every job.

Imports are most of a short job. The server computes nothing and uses no GPU, so a fork of it is as good as a new
process. It gets the environment of its jobs (CUDA_VISIBLE_DEVICES, OMP_NUM_THREADS) before it imports torch. Linux
only: forking a process with this many libraries is not safe elsewhere.

Why not the fork server of `multiprocessing`: it was tried with Python 3.11 and a preload of the same modules. It is
as fast (0.9 s for a training job on two slots, here 0.7 s; a new process needs about 10 s), but 231 of 1,200 jobs that
eight threads started and joined returned exit code 255 instead of their own, because every start() reads the exit
codes of all other processes. It also has one server with one environment per process, shares the process group of
the sweep, failed to start the next job when its server had been killed, and its jobs run no atexit functions.
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

from recsys.terminal import print_line

AVAILABLE = sys.platform == "linux"
# The modules that every training imports at some point.
MODULES = (
    "recsys.cli.train",
    "recsys.config.validate",
    "recsys.evaluation.summary",
    "recsys.experiment.fit",
    "recsys.training.build",
    "recsys.training.trackers.group",
    "torch.utils.tensorboard",
)
MAX_MESSAGE = 1 << 17  # bytes; longer than any command


class Forked:
    """A job that runs in a fork; has the part of `subprocess.Popen` that `recsys.sweeps.job.Process` uses."""

    def __init__(self, connection: socket.socket, pid: int, stdin: IO[bytes]) -> None:
        self.connection, self.pid, self.stdin = connection, pid, stdin
        self.returncode: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end of the job, and return its exit code; the negative signal number if a signal ended it.

        Raises:
            subprocess.TimeoutExpired: the job is still running after `timeout` seconds.
        """
        if self.returncode is None:
            if not select.select([self.connection], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("a job", timeout or 0)
            code = self.connection.recv(MAX_MESSAGE)
            # No exit code: the server was killed. The job ends with it, because its stdin is closed.
            self.returncode = int(code) if code else -signal.SIGKILL
            self.connection.close()
        return self.returncode


class Server:
    """Starts jobs as forks of one server process, which is created when it is first needed.

    Args:
        environment: the environment variables of the server process and its jobs.
    """

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def warm_up(self) -> None:
        """Create the server process if it is not running, without waiting for its imports."""
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
            theirs.close()  # so that the server sees the end of this process
            weakref.finalize(self, self._process.kill)

    def start(self, command: Sequence[str], output: IO[bytes]) -> Forked:
        """Run `python -m module arguments...` in a fork.

        Args:
            command: the command; its interpreter is ignored.
            output: the file for stdout and stderr.

        Raises:
            OSError: the server process has ended; the next call creates a new one.
        """
        self.warm_up()
        stdin, ours = os.pipe()
        reply, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        message, files = json.dumps(command).encode(), [stdin, output.fileno(), theirs.fileno()]
        try:
            with theirs, self._lock:
                socket.send_fds(self._connection, [message], files)
            pid = reply.recv(MAX_MESSAGE)
        except OSError:
            pid = b""
        finally:
            os.close(stdin)
        if not pid:
            os.close(ours)
            reply.close()
            raise OSError("the fork server has ended")
        return Forked(reply, int(pid), os.fdopen(ours, "wb"))

    def close(self) -> None:
        """End the server process."""
        with self._lock:
            self._end()

    def _end(self) -> None:
        if self._process is not None:
            self._connection.close()
            self._process.kill()
            self._process.wait()
            self._process = None


def serve(connection: socket.socket) -> None:
    """Run the server: fork for every command received, and reply with the process id and then the exit code."""
    if sys.platform != "linux":
        raise RuntimeError("the fork server needs Linux (os.pidfd_open)")
    end = _EndWithoutTeardown()
    for module in MODULES:
        importlib.import_module(module)
    from tqdm import tqdm

    # Forks share the default lock of tqdm: a job that is killed while it draws a bar would block all others.
    tqdm.set_lock(threading.RLock())
    gc.freeze()  # the garbage collector of a fork skips imported objects
    os.close(os.pidfd_open(os.getpid()))  # fails on a kernel without pidfd, before a job is started
    running: dict[int, tuple[int, socket.socket]] = {}
    while True:
        for ready in select.select([connection.fileno(), *running], [], [])[0]:
            if ready == connection.fileno():
                message, files, *_ = socket.recv_fds(connection, MAX_MESSAGE, 3)
                if not message:
                    return  # the sweep has ended; its jobs notice that themselves
                stdin, output, reply = files
                answer = socket.socket(fileno=reply)
                if (pid := _fork()) == 0:
                    for inherited in (connection, answer, *(other for _, other in running.values())):
                        inherited.close()  # an open copy would hide the death of the server
                    _run_command(json.loads(message), stdin, output, end)
                os.close(stdin)
                os.close(output)
                running[os.pidfd_open(pid)] = pid, answer
                _send(answer, pid)
            else:
                pid, answer = running.pop(ready)
                os.close(ready)
                _send(answer, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
                answer.close()


class _EndWithoutTeardown:
    """Ends the process after all atexit functions that are registered later, without interpreter teardown.

    Teardown destroys every imported object one by one, which costs 0.7 s of CPU time per job.
    """

    def __init__(self) -> None:
        self.code = 0
        atexit.register(self._end)  # atexit functions run in reverse order, so the first one runs last

    def _end(self) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(self.code)  # public, despite its name


def _fork() -> int:
    with warnings.catch_warnings():
        # Python warns about the threads of OpenBLAS and pyarrow; both libraries support fork.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _send(reply: socket.socket, number: int) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the sweep has ended
        reply.send(str(number).encode())


def _run_command(command: list[str], stdin: int, output: int, end: _EndWithoutTeardown) -> NoReturn:
    """In a fork: run `python -m module arguments...` and end the process."""
    os.setsid()
    os.dup2(stdin, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    _, _, module, *arguments = command
    sys.argv = [module, *arguments]
    code: object = 0
    # runpy warns that the module is already imported, which is intended here.
    warnings.filterwarnings("ignore", ".*found in sys.modules.*", RuntimeWarning)
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as problem:
        code = problem.code or 0
    except BaseException:
        print_line(traceback.format_exc(), is_error=True)
        code = 1
    if not isinstance(code, int):
        print_line(code, is_error=True)
        code = 1
    end.code = code
    sys.exit(code)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
