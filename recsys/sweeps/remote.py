"""Run a job on another machine; Ray and Slurm call this there."""

import dataclasses
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsys.errors import ConfigError, named_line
from recsys.runs.processes import process_rank
from recsys.sweeps.job import Job, Outcome, write_failed
from recsys.sweeps.slot import Slot

# Prefixes of the environment variables that a remote job takes over from the sweep.
PASSED_ON = ("RECSYS_", "PYTHONPATH", "HYDRA_FULL_ERROR")


@dataclass(frozen=True)
class RemoteContext:
    """What a remote job needs besides its command; all machines must share the file system of the folders.

    Attributes:
        folder: working directory of the sweep; relative paths in overrides refer to it.
        environment: environment variables to set.
        timeout: seconds after which the job is killed and counted as failed.
    """

    folder: str
    environment: dict[str, str]
    timeout: float | None

    @classmethod
    def of_this_process(cls, threads: dict[str, str], timeout: float | None) -> "RemoteContext":
        """Return the context of this process, with the variables that set the number of threads."""
        passed_on = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}
        return cls(os.getcwd(), passed_on | threads, timeout)


def run_job(job: Job, context: RemoteContext) -> Outcome:
    """Run a job, and return its outcome. If Slurm starts several processes for it, the first one has the outcome."""
    os.chdir(context.folder)
    slot = Slot(context.environment)
    if process_rank() == 0:
        return slot.start(job).wait(context.timeout)
    with tempfile.TemporaryDirectory(prefix="recsys-") as logs:
        return slot.start(dataclasses.replace(job, log_folder=Path(logs))).wait(context.timeout)


def gpus_of_job(key: str, asked: float | None, hardware: Any) -> float:
    """Return the number of GPUs to reserve for a job on each machine.

    Args:
        key: the name of the number in conf/hydra/launcher/.
        asked: the number that the user wants; None: one per device with hardware.accelerator=gpu, otherwise none.
        hardware: the hardware.* keys of the jobs.

    Raises:
        ConfigError: the jobs need GPUs, and too few are reserved.
    """
    needed = hardware.devices if hardware.accelerator == "gpu" else 0
    if asked is None:
        return needed
    if needed and (asked == 0 or asked < needed > 1):
        raise ConfigError(
            f"hydra.launcher.{key}={asked:g}: hardware.accelerator=gpu with hardware.devices={needed} needs {needed} "
            f"GPU(s) on each machine; use hydra.launcher.{key}={needed}"
        )
    return asked


def lost(job: Job, error: BaseException) -> Outcome:
    """Return the outcome of a job that the cluster lost, and write its failed.json."""
    message = named_line(error)
    write_failed(job, message)
    return Outcome(job, None, message, 0.0)
