"""One job of a sweep: the single-run command in a process of its own, and what became of it."""

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
from recsys.runs.folder import FAILED, RESULT, checkpoint_in, is_run, place_of, quoted, read_json, write_json
from recsys.runs.processes import STOP_SIGNALS
from recsys.runs.resume import stored_words

if TYPE_CHECKING:
    from recsys.sweeps.forkserver import Forked

    Start = Callable[["Job", IO[bytes]], Forked | subprocess.Popen[bytes]]

INTERRUPTED = [128 + number for number in STOP_SIGNALS]  # exit codes
ENDS_WITH_PARENT = "RECSYS_ENDS_WITH_PARENT"


@dataclass(frozen=True)
class Job:
    """What one job runs, and where.

    Attributes:
        number: its place in the sweep, from 0; also the name of its folder.
        overrides: as typed on a command line.
        folder: the run folder.
        arguments: further words of the command line, such as --config-dir.
        run: where the run lies, for one of several processes whose own `folder` is another.
    """

    number: int
    overrides: tuple[str, ...]
    folder: Path
    arguments: tuple[str, ...] = ()
    run: Path | None = None

    @property
    def command(self) -> list[str]:
        """The very command that a user would type for this run alone."""
        begin = [sys.executable, "-m", "recsys.cli.train"]
        if self.can_go_on():
            return [*begin, f"run={quoted(self.run or self.folder)}", "resume=true"]
        return [*begin, *self.arguments, *self.overrides, *place_of(self.folder)]

    def is_done(self) -> bool:
        """Whether an earlier start of the sweep has finished this very job."""
        result = self.folder / RESULT
        return result.is_file() and read_json(result)["overrides"] == list(self.overrides)

    def can_go_on(self) -> bool:
        """Whether an earlier start of this very job was interrupted after it had saved something."""
        folder = self.run or self.folder
        if not checkpoint_in(folder, "last").is_file() or (folder / FAILED).exists():
            return False
        return stored_words(folder) == list(self.overrides)


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        job: the job.
        value: the best validation value, told so that less is better; None where it failed.
        error: the first line of why; None where it completed.
        seconds: how long it ran.
        pruned: whether it ended early because a search gave it up.
    """

    job: Job
    value: float | None
    error: str | None
    seconds: float
    pruned: bool = False


class Process:
    """A job's process while it runs.

    Args:
        job: the job; what an earlier start of it left in its folder is removed where it cannot go on.
        start: from the job and the file for its output to a running process.
    """

    def __init__(
        self, job: Job, start: Callable[[Job, IO[bytes]], "Forked | subprocess.Popen[bytes]"]
    ) -> None:
        self.job = job
        if is_run(job.folder) and not job.can_go_on():
            shutil.rmtree(job.folder)
        job.folder.mkdir(parents=True, exist_ok=True)
        self.stopped, self.ended = False, threading.Event()
        with (job.folder / "output.log").open("ab") as output:
            self.process = start(job, output)
        self.start = time.monotonic()

    def wait(self, timeout: float | None = None) -> Outcome:
        """Wait for the end, or make one after `timeout` seconds."""
        told = None
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            told = f"stopped after {timeout:g} seconds (hydra.launcher.timeout)"
            self._signal(signal.SIGKILL)
            self.process.wait()
        self._signal(signal.SIGKILL)  # whatever it started and left, such as the other processes of a DDP run
        self.ended.set()
        return self._outcome(told)

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """Ask the job to end, or with SIGKILL make it: it is unfinished then, and has not failed."""
        self.stopped = True
        self._signal(number)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)

    def _outcome(self, told: str | None) -> Outcome:
        if self.process.stdin:
            self.process.stdin.close()
        seconds, folder = time.monotonic() - self.start, self.job.folder
        if (folder / RESULT).is_file():
            value = to_minimise(read_json(folder / RESULT)["objective"])
            return Outcome(self.job, value, None, seconds)
        if self.stopped:
            (folder / FAILED).unlink(missing_ok=True)
            return Outcome(self.job, None, "stopped with the sweep", seconds)
        code = self.process.returncode or 0
        if told is None and code < 0:
            told = f"killed by {signal.Signals(-code).name}"
        if told is None and (folder / FAILED).is_file():
            content = read_json(folder / FAILED)
            return Outcome(self.job, None, content["error"], seconds, content["status"] == "pruned")
        # it had no chance to say so itself
        last = (folder / "output.log").read_text(errors="replace").strip().splitlines()[-1:]
        told = told or ": ".join([f"ended with code {code} and without a result", *last])
        if code in INTERRUPTED:  # it has saved, and can go on
            return Outcome(self.job, None, told, seconds)
        write_failed(self.job, told)
        return Outcome(self.job, None, told, seconds)


def write_failed(job: Job, error: str) -> None:
    """Leave failed.json for a job that had no chance to do so itself."""
    job.folder.mkdir(parents=True, exist_ok=True)
    content = {"status": "failed", "error": error, "traceback": "", "overrides": list(job.overrides)}
    write_json(job.folder / FAILED, content)


def end_with_parent() -> None:
    """In a job: end at once when the process that started it is gone, however it went."""
    if os.environ.get(ENDS_WITH_PARENT):

        def watch() -> None:
            while os.read(0, 1):
                pass
            os.killpg(os.getpgrp(), signal.SIGKILL)

        threading.Thread(target=watch, daemon=True).start()
