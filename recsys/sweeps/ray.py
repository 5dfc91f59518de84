"""Run the jobs of a sweep as tasks of a Ray cluster, which restarts the jobs of a lost machine."""

import socket
from collections.abc import Sequence
from typing import Any

from recsys.errors import ConfigError
from recsys.sweeps.job import Job, Outcome
from recsys.sweeps.pool import thread_variables
from recsys.sweeps.progress import Progress
from recsys.sweeps.remote import RemoteContext, gpus_of_job, lost, run_job

CONNECT_SECONDS = 10  # Ray itself tries for minutes


def run_jobs(
    jobs: Sequence[Job],
    hardware: Any,
    address: str | None,
    num_cpus: float,
    num_gpus: float | None,
    max_retries: int,
    timeout: float | None,
) -> list[Outcome]:
    """Run jobs on a Ray cluster.

    Args:
        jobs: the jobs; their folders must be on a file system that all machines of the cluster share.
        hardware: the hardware.* keys.
        address: address of the cluster; None: start a cluster on this machine and stop it with the sweep.
        num_cpus: cores per job; also its number of threads.
        num_gpus: GPUs per job; with 0.25, four jobs share a GPU; None: see `gpus_of_job`.
        max_retries: how often a job is restarted if its machine is lost.
        timeout: seconds after which a job is killed and counted as failed.

    Returns:
        The outcomes in the order of `jobs`.

    Raises:
        ConfigError: Ray is not installed, the cluster does not respond, or the jobs need more GPUs.
    """
    num_gpus = gpus_of_job("num_gpus", num_gpus, hardware)
    try:
        import ray
    except ImportError:
        raise ConfigError("hydra/launcher=ray needs Ray: pip install ray") from None
    try:
        if address and ":" in address.removeprefix("ray://"):
            host, _, port = address.removeprefix("ray://").rpartition(":")
            socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
        ray.init(address=address, include_dashboard=False if address is None else None, log_to_driver=False)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"hydra.launcher.address={address}: no Ray cluster responds ({error}); start one with "
            "ray start --head, or use hydra.launcher.address=null for a cluster on this machine"
        ) from None
    variables = thread_variables(max(1, int(num_cpus)))
    if num_gpus == 0:  # some versions of Ray then leave all GPUs visible
        variables["CUDA_VISIBLE_DEVICES"] = ""
    context = RemoteContext.of_this_process(variables, timeout)
    task = ray.remote(run_job).options(num_cpus=num_cpus, num_gpus=num_gpus, max_retries=max_retries)
    try:
        slots = ray.cluster_resources().get("CPU", 1) / num_cpus if num_cpus else len(jobs)
        with Progress(jobs, max(1, int(slots))) as progress:
            pending = {task.remote(job, context): job for job in progress.unfinished}
            while pending:
                progress.running = min(len(pending), progress.slots)
                (ended,), _ = ray.wait(list(pending), num_returns=1)
                job = pending.pop(ended)
                try:
                    progress.record(ray.get(ended))
                except ray.exceptions.RayError as error:
                    progress.record(lost(job, error))
        return progress.outcomes
    finally:
        ray.shutdown()  # ends the tasks and their jobs
