"""Run the jobs of a sweep as processes on the GPUs or cores of this machine."""

import logging
import os
import queue
import signal
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

from recsys.sweeps import forkserver
from recsys.sweeps.gpus import jobs_on_each_gpu, visible_gpus
from recsys.sweeps.job import Job, Outcome, Process
from recsys.sweeps.progress import Progress
from recsys.sweeps.slot import Slot, job_environment

log = logging.getLogger(__name__)

GRACE_SECONDS = 10.0  # between SIGINT and SIGKILL when a sweep is stopped


def make_slots(
    devices: int, gpus: Sequence[str] = (), jobs_per_gpu: int = 1, jobs: int | None = None
) -> list[Slot]:
    """Return slots that together use all GPUs, or all cores.

    Each job sees only the GPUs of its slot and uses an equal share of the cores, because more threads than cores slow
    down all jobs. The environment variables for this are set before torch is imported.

    Args:
        devices: number of devices of one job.
        gpus: names of the GPUs; without any, jobs run on the CPU.
        jobs_per_gpu: number of jobs that share a GPU.
        jobs: number of jobs at once on a CPU; None: the number of cores divided by `devices`.
    """
    if gpus:
        groups = [gpus[start : start + devices] for start in range(0, len(gpus) - devices + 1, devices)]
        own = [{"CUDA_VISIBLE_DEVICES": ",".join(group)} for group in groups for _ in range(jobs_per_gpu)]
    else:
        own = [{} for _ in range(jobs or max(1, count_cores() // devices))]
    threads = max(1, count_cores() // (max(1, len(own)) * devices))
    environments = [{**variables, **thread_variables(threads)} for variables in own]
    servers = {str(variables): forkserver.Server(job_environment(variables)) for variables in environments}
    return [Slot(one, servers[str(one)] if forkserver.AVAILABLE else None) for one in environments]


def slots_of_this_machine(
    hardware: Any, jobs_per_gpu: int | None, gb_per_job: float, jobs: int | None
) -> list[Slot]:
    """Return the slots for jobs with these hardware.* keys: on GPUs if the jobs use them and there are any.

    Args:
        hardware: the keys.
        jobs_per_gpu: see `jobs_on_each_gpu`.
        gb_per_job: GPU memory of one job.
        jobs: see `make_slots`.

    Raises:
        ConfigError: `jobs_per_gpu` jobs do not fit into the memory of a GPU.
    """
    gpus = visible_gpus() if hardware.accelerator in ("auto", "gpu") else []
    if not gpus:
        return make_slots(hardware.devices, jobs=jobs)
    return make_slots(hardware.devices, gpus, jobs_on_each_gpu(jobs_per_gpu, gb_per_job, gpus, count_cores()))


def count_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def thread_variables(threads: int) -> dict[str, str]:
    """Return the environment variables that limit a job's threads; torch reads them when it is imported."""
    return {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "passive"}


def run_jobs(
    jobs: Sequence[Job], slots: Sequence[Slot], timeout: float | None = None, fail_fast: bool = False
) -> list[Outcome]:
    """Run jobs, one at a time per slot. A failed job does not affect the others, unless `fail_fast` is true.

    Args:
        jobs: the jobs, started in this order; those that have a result are not run again.
        slots: the slots.
        timeout: seconds after which a job is killed and counted as failed.
        fail_fast: whether the first failure stops all jobs.

    Returns:
        The outcomes of all jobs that have ended, including earlier results, sorted by job number.

    Raises:
        KeyboardInterrupt: after all processes have ended; finished jobs keep their results.
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
                started_too_late = stopping.is_set()
            if started_too_late:
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
        deadline = time.monotonic() + GRACE_SECONDS
        for process in processes:
            if not process.ended.wait(max(0.0, deadline - time.monotonic())):
                process.stop(signal.SIGKILL)

    with Progress(jobs, len(slots)) as progress, ThreadPoolExecutor(len(slots)) as threads:
        try:
            futures = [threads.submit(run, job) for job in progress.unfinished]
            for future in as_completed(futures):
                if (outcome := future.result()) is None:
                    continue
                progress.record(outcome)
                if fail_fast and outcome.value is None and not outcome.pruned:
                    log.warning("stopping: job %d failed (hydra.launcher.fail_fast=true)", outcome.job.number)
                    stop()
        except BaseException:
            stop()
            raise
    return progress.outcomes
