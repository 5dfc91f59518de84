"""The pool: jobs of a sweep over the GPUs or cores of this machine, one process each."""

import logging
import os
import queue
import signal
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

from recsys.sweeps import forkserver as warm
from recsys.sweeps.job import Job, Outcome, Process
from recsys.sweeps.progress import Progress
from recsys.sweeps.slot import Slot, job_variables

log = logging.getLogger(__name__)

GRACE = 10.0  # seconds from asking a job to end to making it


def make_slots(devices: int, on_gpu: bool, jobs_per_gpu: int = 1, jobs: int | None = None) -> list[Slot]:
    """Places for jobs: every GPU `jobs_per_gpu` times, or the cores.

    Args:
        devices: devices of one job.
        on_gpu: whether jobs run on GPUs.
        jobs_per_gpu: how many share one.
        jobs: how many at once on a CPU; None: one per core (with several processes per job, fewer).

    Returns:
        Slots whose jobs have GPUs of their own, set before torch is imported, and an equal share of the
        cores, since threads that fight for cores cost more than anything else.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if on_gpu:
        visible = visible_gpus()
        groups = [visible[start : start + devices] for start in range(0, len(visible) - devices + 1, devices)]
        places = [{"CUDA_VISIBLE_DEVICES": ",".join(group)} for group in groups for _ in range(jobs_per_gpu)]
    else:
        places = [{} for _ in range(jobs or max(1, cores // devices))]
    threads = max(1, cores // (max(1, len(places)) * devices))
    environments = [{**place, **threads_of_a_job(threads)} for place in places]
    servers = {str(environment): warm.Server(job_variables(environment)) for environment in environments}
    return [
        Slot(environment, servers[str(environment)] if warm.AVAILABLE else None)
        for environment in environments
    ]


def slots_of_this_machine(hardware: Any, jobs_per_gpu: int, jobs: int | None) -> list[Slot]:
    """The slots for jobs with these hardware.* keys: GPUs if the jobs take them and there are any."""
    on_gpu = hardware.accelerator in ("auto", "gpu") and bool(visible_gpus())
    return make_slots(hardware.devices, on_gpu, jobs_per_gpu, jobs)


def threads_of_a_job(threads: int) -> dict[str, str]:
    """Variables that keep a job to its share of the cores; they are read when torch is loaded."""
    return {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "passive"}


def visible_gpus() -> list[str]:
    """Names that CUDA_VISIBLE_DEVICES may hold, one per GPU that this process may use."""
    if (set_by_user := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name.strip() for name in set_by_user.split(",") if name.strip()]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


def run_jobs(
    jobs: Sequence[Job], slots: Sequence[Slot], timeout: float | None = None, fail_fast: bool = False
) -> list[Outcome]:
    """Run jobs, as many at a time as there are slots; one that fails harms no other.

    Args:
        jobs: in the order in which they start; those that are done already are not run again.
        slots: where they run.
        timeout: seconds after which a job is stopped and counts as failed.
        fail_fast: whether the first failure stops everything.

    Returns:
        The outcomes of jobs that ended, in the order of `jobs`.

    Raises:
        KeyboardInterrupt: after all processes have ended; what finished is kept.
    """
    free: queue.Queue[Slot] = queue.Queue()
    for slot in slots:
        free.put(slot)
    running: dict[int, Process] = {}
    lock, stopping = threading.Lock(), threading.Event()

    def run(job: Job) -> Outcome | None:
        slot = free.get()
        try:
            if stopping.is_set():
                return None
            process = slot.start(job)
            with lock:
                running[job.number] = process
                progress.running = len(running)
                too_late = stopping.is_set()
            if too_late:
                process.stop(signal.SIGKILL)
            outcome = process.wait(timeout)
            return None if process.stopped and outcome.value is None else outcome
        finally:
            free.put(slot)
            with lock:
                running.pop(job.number, None)
                progress.running = len(running)

    def stop() -> None:
        with lock:
            stopping.set()
            processes = list(running.values())
        for process in processes:
            process.stop()
        deadline = time.monotonic() + GRACE
        for process in processes:
            if not process.ended.wait(max(0.0, deadline - time.monotonic())):
                process.stop(signal.SIGKILL)

    with Progress(jobs, len(slots)) as progress, ThreadPoolExecutor(len(slots)) as threads:
        try:
            futures = [threads.submit(run, job) for job in progress.left]
            for future in as_completed(futures):
                if (outcome := future.result()) is None:
                    continue
                progress.tell(outcome)
                if fail_fast and outcome.value is None and not outcome.pruned:
                    log.warning("stopping: job %d failed (hydra.launcher.fail_fast)", outcome.job.number)
                    stop()
        except BaseException:
            stop()
            raise
    return progress.outcomes
