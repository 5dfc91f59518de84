"""A job on a machine that somebody else chose: what Ray and Slurm run there."""

import dataclasses
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from recsys.runs.processes import process_rank
from recsys.sweeps.job import Job, Outcome, write_failed
from recsys.sweeps.slot import Slot

# What a job elsewhere has to know of the environment in which the sweep was started.
PASSED_ON = ("RECSYS_", "PYTHONPATH", "HYDRA_FULL_ERROR")


@dataclass(frozen=True)
class Surroundings:
    """Where and how a job runs elsewhere; the folders are on a file system that all machines share.

    Attributes:
        folder: in which the sweep was started; relative paths among the overrides start there.
        environment: variables to set.
        timeout: seconds after which the job is stopped and counts as failed.
    """

    folder: str
    environment: dict[str, str]
    timeout: float | None

    @classmethod
    def here(cls, threads: dict[str, str], timeout: float | None) -> "Surroundings":
        """Those of this process."""
        passed = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}
        return cls(os.getcwd(), passed | threads, timeout)


def run_job(job: Job, surroundings: Surroundings) -> Outcome:
    """Run a job to its end. Where Slurm starts several processes for it, the first one speaks for all."""
    os.chdir(surroundings.folder)
    if process_rank() > 0:
        job = dataclasses.replace(job, log_folder=Path(tempfile.mkdtemp(prefix="recsys-")))
    return Slot(surroundings.environment).start(job).wait(surroundings.timeout)


def lost(job: Job, problem: BaseException) -> Outcome:
    """The outcome of a job whose engine gave it up."""
    told = f"{type(problem).__name__}: {(str(problem).splitlines() or [''])[0]}"
    write_failed(job, told)
    return Outcome(job, None, told, 0.0)
