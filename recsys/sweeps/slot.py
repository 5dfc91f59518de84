"""A slot: runs one job at a time, on given GPUs and with a given number of threads."""

import os
import subprocess
from typing import IO

from recsys.sweeps.forkserver import Forked, Server
from recsys.sweeps.job import ENDS_WITH_PARENT, Job, Process


class Slot:
    """Starts jobs one after another, each in a process of its own.

    Args:
        environment: environment variables of its jobs, set before torch is imported.
        server: a fork server with the same environment, shared by slots, so that a job starts without imports.
            None: every job is a new Python process.
    """

    def __init__(self, environment: dict[str, str] | None = None, server: Server | None = None) -> None:
        self.environment, self.server = environment or {}, server

    def start(self, job: Job) -> Process:
        """Start a job; the previous job of this slot must have ended."""
        return Process(job, self._spawn if self.server is None else self._fork)

    def _fork(self, job: Job, output: IO[bytes]) -> Forked | subprocess.Popen[bytes]:
        assert self.server is not None
        try:
            return self.server.start(job.command, output)
        except OSError:  # the server was killed, for example because the machine is out of memory
            return self._spawn(job, output)

    def _spawn(self, job: Job, output: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            job.command,
            env=job_environment(self.environment),
            stdin=subprocess.PIPE,  # nothing is written to it: the job ends when this process closes it by ending
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def job_environment(environment: dict[str, str]) -> dict[str, str]:
    """Return all environment variables of a job's process, given those of its slot."""
    return {**os.environ, **environment, ENDS_WITH_PARENT: "1"}
