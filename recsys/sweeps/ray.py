"""Jobs of a sweep as tasks of a Ray cluster, which places them and starts again what a lost machine took."""

import socket
from collections.abc import Sequence

from recsys.errors import ConfigError
from recsys.sweeps.job import Job, Outcome
from recsys.sweeps.pool import threads_of_a_job
from recsys.sweeps.progress import Progress
from recsys.sweeps.remote import Surroundings, lost, run_job


def run_jobs(
    jobs: Sequence[Job],
    address: str | None,
    num_cpus: float,
    num_gpus: float,
    max_retries: int,
    timeout: float | None,
) -> list[Outcome]:
    """Run jobs on a cluster.

    Args:
        jobs: their folders lie on a file system that all machines of the cluster share.
        address: of the cluster; None: one is started on this machine, and ended with the sweep.
        num_cpus: cores of a job; also its number of threads.
        num_gpus: GPUs of a job; 0.25 lets four share one.
        max_retries: how often a job is started again when the machine that ran it is lost.
        timeout: seconds after which a job is stopped and counts as failed.

    Returns:
        Outcomes in the order of `jobs`.

    Raises:
        ConfigError: Ray is not installed, or the cluster does not answer.
    """
    try:
        import ray
    except ImportError:
        raise ConfigError("hydra/launcher=ray needs Ray: pip install ray") from None
    try:
        if address and ":" in address.removeprefix("ray://"):  # Ray itself would try for minutes
            host, _, port = address.removeprefix("ray://").rpartition(":")
            socket.create_connection((host, int(port)), timeout=10).close()
        ray.init(address=address, include_dashboard=False if address is None else None, log_to_driver=False)
    except (OSError, ValueError) as problem:
        raise ConfigError(f"hydra.launcher.address={address}: no Ray cluster answers ({problem})") from None
    surroundings = Surroundings.here(threads_of_a_job(max(1, int(num_cpus))), timeout)
    task = ray.remote(run_job).options(num_cpus=num_cpus, num_gpus=num_gpus, max_retries=max_retries)
    try:
        at_once = ray.cluster_resources().get("CPU", 1) / num_cpus if num_cpus else len(jobs)
        with Progress(jobs, max(1, int(at_once))) as progress:
            pending = {task.remote(job, surroundings): job for job in progress.left}
            while pending:
                progress.running = min(len(pending), progress.slots)
                (ended,), _ = ray.wait(list(pending), num_returns=1)
                job = pending.pop(ended)
                try:
                    progress.tell(ray.get(ended))
                except ray.exceptions.RayError as problem:
                    progress.tell(lost(job, problem))
        return progress.outcomes
    finally:
        ray.shutdown()  # ends the tasks, and with them their jobs
