"""Jobs of a sweep as jobs of Slurm, through submitit."""

from collections.abc import Sequence
from typing import Any

from recsys.errors import ConfigError
from recsys.sweeps.job import Job, Outcome
from recsys.sweeps.pool import threads_of_a_job
from recsys.sweeps.progress import Progress
from recsys.sweeps.remote import Surroundings, lost, run_job


class Requeued:
    """`run_job` as what Slurm may stop and start again: the run goes on where it was saved."""

    def __call__(self, job: Job, surroundings: Surroundings) -> Outcome:
        """Run a job to its end."""
        return run_job(job, surroundings)

    def checkpoint(self, job: Job, surroundings: Surroundings) -> Any:
        """What submitit puts into the queue again, when Slurm preempts a job or its time is up."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, job, surroundings)


def run_jobs(
    jobs: Sequence[Job],
    hardware: Any,
    cluster: str,
    poll_seconds: float,
    timeout: float | None,
    **parameters: Any,
) -> list[Outcome]:
    """Submit jobs as one array, and wait for them.

    Args:
        jobs: their folders lie on a file system that all machines of the cluster share.
        hardware: the hardware.* keys; every device of a job is a task of its own, as Lightning wants it.
        cluster: slurm, or local: processes on this machine, to try things out.
        poll_seconds: how often the queue is asked.
        timeout: seconds after which a job is stopped and counts as failed.
        parameters: of `submitit.AutoExecutor.update_parameters`; None: the cluster's own choice.

    Returns:
        Outcomes in the order of `jobs`.

    Raises:
        ConfigError: submitit is not installed, or refuses a parameter.
    """
    try:
        import submitit
        from submitit.helpers import as_completed
    except ImportError:
        raise ConfigError("hydra/launcher=slurm needs submitit: pip install submitit") from None
    chosen = {name: value for name, value in parameters.items() if value is not None}
    try:
        executor = submitit.AutoExecutor(folder=jobs[0].folder.parent / ".submitit", cluster=cluster)
        if executor.cluster == "slurm":  # elsewhere a job starts its further processes itself
            chosen |= {"nodes": hardware.num_nodes, "tasks_per_node": hardware.devices}
        executor.update_parameters(**chosen)
    except (RuntimeError, TypeError, ValueError, NameError, AssertionError) as problem:
        raise ConfigError(f"hydra.launcher: {problem}") from None
    surroundings = Surroundings.here(threads_of_a_job(chosen.get("cpus_per_task", 1)), timeout)
    with Progress(jobs, len(jobs)) as progress:
        left = progress.left
        with executor.batch():
            submitted = [executor.submit(Requeued(), job, surroundings) for job in left]
        pending = dict(zip([task.job_id for task in submitted], left, strict=True))
        try:
            for task in as_completed(submitted, poll_frequency=poll_seconds):
                job = pending.pop(task.job_id)
                progress.running = len(pending)
                try:
                    progress.tell(task.results()[0])
                except Exception as problem:  # whatever took the job from its machine
                    progress.tell(lost(job, problem))
        except BaseException:
            for task in submitted:
                task.cancel(check=False)
            raise
    return progress.outcomes
