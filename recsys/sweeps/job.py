"""One job of a sweep: recsys-train in a process of its own, and its outcome."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from recsys.evaluation.objective import to_minimise
from recsys.runs.folder import (
    FAILED,
    JOB_LOG,
    RESULT,
    as_utf8,
    hydra_quoted,
    is_run,
    read_json,
    state_to_resume,
    write_json,
)
from recsys.runs.processes import STOP_SIGNALS
from recsys.runs.record import recorded_overrides

if TYPE_CHECKING:
    from recsys.sweeps.forkserver import Forked

    Start = Callable[["Job", IO[bytes]], Forked | subprocess.Popen[bytes]]

# Exit codes of recsys-train after a signal that stopped it with its state saved.
INTERRUPTED_CODES = [128 + number for number in STOP_SIGNALS]
ENDS_WITH_PARENT = "RECSYS_ENDS_WITH_PARENT"


@dataclass(frozen=True)
class Job:
    """A job of a sweep.

    Attributes:
        number: position in the sweep, from 0; also the name of its folder.
        overrides: as typed on a command line.
        folder: the run folder.
        arguments: further command-line arguments, such as --config-dir.
        log_folder: folder for the output of the process; None: the run folder. Processes of a distributed run with
            a rank above 0 have another one, because only rank 0 may write to the run folder.
    """

    number: int
    overrides: tuple[str, ...]
    folder: Path
    arguments: tuple[str, ...] = ()
    log_folder: Path | None = None

    @property
    def command(self) -> list[str]:
        """The command that trains this job alone, or resumes it."""
        # hydra.mode=RUN: an override such as sweep=seeds would start another sweep.
        own = ["hydra.mode=RUN", f"output_dir={hydra_quoted(self.folder)}", "resume=true"]
        return [sys.executable, "-m", "recsys.cli.train", *self.arguments, *self.overrides, *own]

    def is_done(self) -> bool:
        """Return whether an earlier start of the sweep has finished this job, with the same overrides."""
        result = self.folder / RESULT
        own = [as_utf8(override) for override in self.overrides]
        return result.is_file() and read_json(result).get("overrides") == own

    def can_resume(self) -> bool:
        """Return whether an earlier start of this job, with the same overrides, saved a state to resume."""
        if state_to_resume(self.folder) is None or (self.folder / FAILED).exists():
            return False
        return recorded_overrides(self.folder) == list(self.overrides)

    def remove_unusable(self) -> None:
        """Remove the run that an earlier start left in the folder, unless it is done or can be resumed."""
        if is_run(self.folder) and not self.is_done() and not self.can_resume():
            shutil.rmtree(self.folder)


@dataclass(frozen=True)
class Outcome:
    """The outcome of a job.

    Attributes:
        job: the job.
        value: the objective as a value to minimise; None without a result.
        error: the first line of the error; None if the job completed, or another process reports its outcome.
        seconds: duration.
        pruned: whether a hyperparameter search stopped it early.
    """

    job: Job
    value: float | None
    error: str | None
    seconds: float
    pruned: bool = False


def value_in(folder: Path) -> float:
    """Return the objective of a finished run as a value to minimise.

    Raises:
        RunError: its result.json is malformed.
    """
    from recsys.runs.outcome import WithObjective, read_record  # imports pydantic, which takes 0.1 seconds

    return to_minimise(read_record(folder / RESULT, WithObjective)["objective"])


class Process:
    """The process of a job; the constructor starts it.

    Args:
        job: the job. A run that an earlier start left in its folder is removed if it cannot be resumed.
        start: a function that starts a process, given the job and the file for its output.
    """

    def __init__(self, job: Job, start: "Start") -> None:
        self.job = job
        self.log = (job.log_folder or job.folder) / JOB_LOG
        if job.log_folder is None:
            job.remove_unusable()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.stopped, self.ended = False, threading.Event()
        with self.log.open("ab") as output:
            self.process = start(job, output)
        self.started_at = time.monotonic()

    def wait(self, timeout: float | None = None) -> Outcome:
        """Wait for the end of the process, and kill it after `timeout` seconds."""
        error = None
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            error = f"killed after {timeout:g} seconds (hydra.launcher.timeout)"
            self._signal(signal.SIGKILL)
            self.process.wait()
        self._signal(signal.SIGKILL)  # processes that it started and left, such as those of a DDP run
        self.ended.set()
        return self._outcome(error)

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """Send a signal that ends the job; it then counts as unfinished, not as failed."""
        self.stopped = True
        self._signal(number)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)

    def _outcome(self, error: str | None) -> Outcome:
        if self.process.stdin:
            self.process.stdin.close()
        seconds, folder = time.monotonic() - self.started_at, self.job.folder
        if self.job.log_folder is not None:  # the first process of the run reports
            return Outcome(self.job, None, None, seconds)
        if (folder / RESULT).is_file():
            return Outcome(self.job, value_in(folder), None, seconds)
        if self.stopped:
            (folder / FAILED).unlink(missing_ok=True)
            return Outcome(self.job, None, "stopped with the sweep", seconds)
        code = self.process.returncode or 0
        if error is None and code < 0:
            error = f"killed by {signal_name(-code)}"
        if error is None and (folder / FAILED).is_file():
            content = read_json(folder / FAILED)
            reason = str(content.get("error", "unknown"))
            return Outcome(self.job, None, reason, seconds, content.get("status") == "pruned")
        last = self.log.read_text("utf-8", errors="replace").strip().splitlines()[-1:]
        error = error or ": ".join([f"ended with code {code} and without a result", *last])
        if code not in INTERRUPTED_CODES:  # an interrupted job can be resumed
            write_failed(self.job, error)
        return Outcome(self.job, None, error, seconds)


def signal_name(number: int) -> str:
    """Return the name of a signal, such as SIGKILL; real-time signals have no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def write_failed(job: Job, error: str) -> None:
    """Write failed.json for a job that could not do so itself."""
    job.folder.mkdir(parents=True, exist_ok=True)
    content = {"status": "failed", "error": error, "traceback": "", "overrides": list(job.overrides)}
    write_json(job.folder / FAILED, content)


def end_with_parent() -> None:
    """In the process of a job: end it as soon as the process that started it has ended, for any reason.

    Its stdin is a pipe of which only that process has the other end, so the end of the file means that it has ended.
    """
    if os.environ.get(ENDS_WITH_PARENT):

        def watch() -> None:
            while os.read(0, 1):
                pass
            os.killpg(os.getpgrp(), signal.SIGKILL)

        threading.Thread(target=watch, daemon=True).start()
