"""A place where one job runs at a time: on which GPUs, with how many threads."""

import os
import subprocess
from typing import IO

from recsys.sweeps import warm
from recsys.sweeps.job import ENDS_WITH_PARENT, Job, Process


class Slot:
    """Starts jobs one after another, each in a process of its own.

    Args:
        environment: variables of its jobs, set before torch is imported.
        forks: whether jobs are forks of one process with torch imported already; they start in a fraction of
            the time.
    """

    def __init__(self, environment: dict[str, str] | None = None, forks: bool = warm.AVAILABLE) -> None:
        self.environment = environment or {}
        self.forks = forks
        self._server: warm.Server | None = None

    def start(self, job: Job) -> Process:
        """Start a job; the one before it has ended."""
        return Process(job, self._fork if self.forks else self._spawn)

    def close(self) -> None:
        """End what was kept for further jobs."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def _fork(self, job: Job, output: IO[bytes]) -> warm.Forked | subprocess.Popen[bytes]:
        if self._server is None:
            self._server = warm.Server(self._variables())
        try:
            return self._server.start(job.command, output)
        except OSError:  # the kernel may have killed it, short of memory: the next job makes a new one
            self.close()
            return self._spawn(job, output)

    def _spawn(self, job: Job, output: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            job.command,
            env=self._variables(),
            stdin=subprocess.PIPE,  # never written to: it breaks when this process dies
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def _variables(self) -> dict[str, str]:
        return {**os.environ, **self.environment, ENDS_WITH_PARENT: "1"}
