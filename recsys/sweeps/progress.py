"""The progress of a sweep: a log line for every job that ends, and a status line on the terminal."""

import logging
import statistics
from collections.abc import Sequence

from rich.console import Console

from recsys.sweeps.job import Job, Outcome, value_in

log = logging.getLogger(__name__)


class Progress:
    """Collects the outcomes of jobs; a context manager that shows a status line on the terminal.

    Args:
        jobs: the jobs of the sweep. On entry, those that already have a result are recorded.
        slots: number of jobs that run at the same time.
    """

    def __init__(self, jobs: Sequence[Job], slots: int) -> None:
        self.jobs, self.slots, self.running = jobs, slots, 0
        self._outcomes: list[Outcome] = []
        self._status = Console(stderr=True).status("starting")

    def __enter__(self) -> "Progress":
        self._status.start()
        for job in self.jobs:
            if job.is_done():
                self.record(Outcome(job, value_in(job.folder), None, 0.0))
        return self

    def __exit__(self, *error: object) -> None:
        self._status.stop()

    @property
    def unfinished(self) -> list[Job]:
        """The jobs without an outcome."""
        ended = {outcome.job.number for outcome in self._outcomes}
        return [job for job in self.jobs if job.number not in ended]

    @property
    def outcomes(self) -> list[Outcome]:
        """The recorded outcomes, ordered by job number."""
        return sorted(self._outcomes, key=lambda outcome: outcome.job.number)

    def record(self, outcome: Outcome) -> None:
        """Record the outcome of a job, log it, and update the status line."""
        self._outcomes.append(outcome)
        if outcome.value is not None:
            text = f"{abs(outcome.value):.4f}"  # the value is negative if higher is better
        else:
            text = outcome.error or "" if outcome.pruned else f"failed: {outcome.error}"
        log.info("job %d: %s (%.0f s); %s", outcome.job.number, text, outcome.seconds, self)
        self._status.update(str(self))

    def __str__(self) -> str:
        completed = {
            outcome.job.number: outcome.value for outcome in self._outcomes if outcome.value is not None
        }
        parts = [f"{len(completed)} of {len(self.jobs)} done", f"{self.running} running"]
        pruned = sum(outcome.pruned for outcome in self._outcomes)
        for count, state in ((len(self._outcomes) - len(completed) - pruned, "failed"), (pruned, "pruned")):
            if count:
                parts.append(f"{count} {state}")
        if len({value < 0 for value in completed.values()}) == 1:  # errors and NDCGs are not comparable
            best = min(completed, key=lambda number: completed[number])
            parts.append(f"best {abs(completed[best]):.4f} (job {best})")
        seconds = [outcome.seconds for outcome in self._outcomes if outcome.seconds]
        if self.unfinished and seconds:
            minutes = statistics.median(seconds) * len(self.unfinished) / self.slots / 60
            parts.append(f"about {minutes:.1f} min left")
        return ", ".join(parts)
