"""The pool: jobs of a sweep over the GPUs or cores of this machine, one process each."""

import logging
import os
import queue
import statistics
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field

from rich.console import Console

from recsys.runs import RESULT, read_json
from recsys.sweeps.job import Job, Outcome, Process

log = logging.getLogger(__name__)

Slot = dict[str, str]  # environment variables of a job in it


def make_slots(devices: int, on_gpu: bool, jobs_per_gpu: int = 1, jobs: int | None = None) -> list[Slot]:
    """Places for jobs: every GPU `jobs_per_gpu` times, or the cores.

    Args:
        devices: devices of one job.
        on_gpu: whether jobs run on GPUs.
        jobs_per_gpu: how many share one.
        jobs: how many at once on a CPU; None: one per core (with several processes per job, fewer).

    Returns:
        For every slot the environment of its jobs: their GPUs, set before torch is imported, and an equal
        share of the cores, since threads that fight for cores cost more than anything else.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if on_gpu:
        visible = visible_gpus()
        groups = [visible[start : start + devices] for start in range(0, len(visible) - devices + 1, devices)]
        slots = [{"CUDA_VISIBLE_DEVICES": ",".join(group)} for group in groups for _ in range(jobs_per_gpu)]
    else:
        slots = [{} for _ in range(jobs or max(1, cores // devices))]
    threads = str(max(1, cores // (max(1, len(slots)) * devices)))
    return [{**slot, "OMP_NUM_THREADS": threads, "OMP_WAIT_POLICY": "passive"} for slot in slots]


def visible_gpus() -> list[str]:
    """Names that CUDA_VISIBLE_DEVICES may hold, one per GPU that this process may use."""
    if (set_by_user := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name.strip() for name in set_by_user.split(",") if name.strip()]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


@dataclass
class Progress:
    """Where a sweep stands, in one line."""

    total: int
    slots: int
    running: int = 0
    outcomes: list[Outcome] = field(default_factory=list)

    def __str__(self) -> str:
        done = [outcome for outcome in self.outcomes if outcome.value is not None]
        told = f"{len(done)} of {self.total} done, {self.running} running"
        if failed := len(self.outcomes) - len(done):
            told += f", {failed} failed"
        if done:
            best = min(done, key=lambda outcome: outcome.value or 0.0)
            told += f", best {best.value:.4f} (job {best.job.number})"
        left = self.total - len(self.outcomes)
        if left and self.outcomes:
            typical = statistics.median(outcome.seconds for outcome in self.outcomes)
            told += f", about {typical * left / self.slots / 60:.1f} min left"
        return told


def run_jobs(
    jobs: Sequence[Job], slots: Sequence[Slot], timeout: float | None = None, fail_fast: bool = False
) -> list[Outcome]:
    """Run jobs, as many at a time as there are slots; one that fails harms no other.

    Args:
        jobs: in the order in which they start; those that are done already are not run again.
        slots: environments to run in.
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
    progress = Progress(len(jobs), len(slots))

    def run(job: Job) -> Outcome | None:
        slot = free.get()
        try:
            with lock:  # nothing starts once stopping has begun
                if stopping.is_set():
                    return None
                process = running[job.number] = Process(job, slot)
                progress.running = len(running)
            outcome = process.wait(timeout)
            return None if stopping.is_set() and outcome.value is None else outcome
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

    def tell(outcome: Outcome) -> None:
        progress.outcomes.append(outcome)
        what = f"{outcome.value:.4f}" if outcome.value is not None else f"failed: {outcome.error}"
        log.info("job %d: %s (%.0f s); %s", outcome.job.number, what, outcome.seconds, progress)
        status.update(str(progress))

    status = Console(stderr=True).status("starting")
    with ThreadPoolExecutor(len(slots)) as threads, status:
        for job in jobs:
            if job.is_done():
                tell(Outcome(job, read_json(job.folder / RESULT)["objective"]["value"], None, 0.0))
        finished = {outcome.job.number for outcome in progress.outcomes}
        futures = [threads.submit(run, job) for job in jobs if job.number not in finished]
        try:
            for future in as_completed(futures):
                if (outcome := future.result()) is None:
                    continue
                tell(outcome)
                if fail_fast and outcome.value is None:
                    log.error("stopping: job %d failed (hydra.launcher.fail_fast)", outcome.job.number)
                    stop()
        except BaseException:
            stop()
            raise
    return sorted(progress.outcomes, key=lambda outcome: outcome.job.number)
