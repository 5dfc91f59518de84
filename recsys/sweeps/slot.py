"""A place where one job runs at a time: on which GPUs, with how many threads."""

import os
import subprocess
from typing import IO

from recsys.sweeps import forkserver as warm
from recsys.sweeps.job import ENDS_WITH_PARENT, Job, Process


class Slot:
    """Starts jobs one after another, each in a process of its own.

    Args:
        environment: variables of its jobs, set before torch is imported.
        server: forks jobs from a process that has torch imported, so that they start in a fraction of the
            time; slots with the same environment share one. None: every job starts afresh.
    """

    def __init__(self, environment: dict[str, str] | None = None, server: warm.Server | None = None) -> None:
        self.environment, self.server = environment or {}, server

    def start(self, job: Job) -> Process:
        """Start a job; the one before it has ended."""
        return Process(job, self._spawn if self.server is None else self._fork)

    def _fork(self, job: Job, output: IO[bytes]) -> warm.Forked | subprocess.Popen[bytes]:
        assert self.server is not None
        try:
            return self.server.start(job.command, output)
        except OSError:  # the kernel may have killed it, short of memory
            return self._spawn(job, output)

    def _spawn(self, job: Job, output: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            job.command,
            env=job_variables(self.environment),
            stdin=subprocess.PIPE,  # never written to: it breaks when this process dies
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def job_variables(environment: dict[str, str]) -> dict[str, str]:
    """The whole environment of a job's process."""
    return {**os.environ, **environment, ENDS_WITH_PARENT: "1"}
