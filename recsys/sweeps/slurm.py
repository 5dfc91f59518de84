"""Run the jobs of a sweep as jobs of Slurm, with submitit."""

import shutil
from collections.abc import Sequence
from typing import Any

from recsys.errors import ConfigError
from recsys.sweeps.job import Job, Outcome
from recsys.sweeps.pool import thread_variables
from recsys.sweeps.progress import Progress
from recsys.sweeps.remote import RemoteContext, gpus_of_job, lost, run_job


class Requeued:
    """`run_job` as a submitit function that Slurm may preempt and start again; the run then resumes."""

    def __call__(self, job: Job, context: RemoteContext) -> Outcome:
        """Run a job, and return its outcome."""
        return run_job(job, context)

    def checkpoint(self, job: Job, context: RemoteContext) -> Any:
        """Return what submitit queues again after a preemption or at the time limit."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, job, context)


def run_jobs(
    jobs: Sequence[Job],
    hardware: Any,
    cluster: str,
    poll_seconds: float,
    timeout: float | None,
    gpus_per_node: int | None = None,
    **parameters: Any,
) -> list[Outcome]:
    """Submit jobs as one array, and wait for them.

    Args:
        jobs: the jobs; their folders must be on a file system that all machines of the cluster share.
        hardware: the hardware.* keys. Each device of a job is one Slurm task, as Lightning requires.
        cluster: "slurm", or "local" for processes on this machine, for testing.
        poll_seconds: how often the queue is checked.
        timeout: seconds after which a job is killed and counted as failed.
        gpus_per_node: GPUs of a job on each machine; None: see `gpus_of_job`.
        parameters: arguments of `submitit.AutoExecutor.update_parameters`; None: the default of the cluster.

    Returns:
        The outcomes in the order of `jobs`.

    Raises:
        ConfigError: submitit is not installed, it refuses a parameter, or the jobs need more GPUs.
    """
    parameters["gpus_per_node"] = int(gpus_of_job("gpus_per_node", gpus_per_node, hardware))
    try:
        import submitit
        from submitit.helpers import as_completed
    except ImportError:
        raise ConfigError("hydra/launcher=slurm needs submitit: pip install submitit") from None
    given = {name: value for name, value in parameters.items() if value is not None}
    scripts = jobs[0].folder.parent / ".submitit"
    is_new = not scripts.exists()
    try:
        executor = submitit.AutoExecutor(folder=scripts, cluster=cluster)
        if executor.cluster == "slurm":  # on a local "cluster", a job starts its further processes itself
            given |= {"nodes": hardware.num_nodes, "tasks_per_node": hardware.devices}
        executor.update_parameters(**given)
    except (RuntimeError, TypeError, ValueError, NameError, AssertionError) as error:
        raise ConfigError(f"hydra.launcher: {error}") from None
    context = RemoteContext.of_this_process(thread_variables(given.get("cpus_per_task", 1)), timeout)
    with Progress(jobs, len(jobs)) as progress:
        unfinished = progress.unfinished
        try:
            with executor.batch():
                submitted = [executor.submit(Requeued(), job, context) for job in unfinished]
        except RuntimeError as error:  # submitit repeats what sbatch wrote
            if is_new:
                shutil.rmtree(scripts)
            raise ConfigError(f"hydra.launcher: sbatch refused the jobs ({str(error).strip()})") from None
        pending = dict(zip([task.job_id for task in submitted], unfinished, strict=True))
        try:
            for task in as_completed(submitted, poll_frequency=poll_seconds):
                job = pending.pop(task.job_id)
                progress.running = len(pending)
                try:
                    progress.record(task.results()[0])
                except Exception as error:  # submitit raises many types for a job that was cancelled or lost
                    progress.record(lost(job, error))
        except BaseException:
            for task in submitted:
                task.cancel(check=False)
            raise
    return progress.outcomes
