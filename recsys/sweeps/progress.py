"""Where a sweep stands: a line for every job that ends, and one that is always current."""

import logging
import statistics
from collections.abc import Sequence

from rich.console import Console

from recsys.evaluation.objective import to_minimise
from recsys.runs.folder import RESULT, read_json
from recsys.sweeps.job import Job, Outcome

log = logging.getLogger(__name__)


class Progress:
    """Counts a sweep's jobs; a context, inside which its state stands on the terminal.

    Args:
        jobs: of the sweep; those that an earlier start of it has finished are told at once.
        slots: how many run at the same time.
    """

    def __init__(self, jobs: Sequence[Job], slots: int) -> None:
        self.jobs, self.slots, self.running = jobs, slots, 0
        self._outcomes: list[Outcome] = []
        self._status = Console(stderr=True).status("starting")

    def __enter__(self) -> "Progress":
        self._status.start()
        for job in self.jobs:
            if job.is_done():
                value = to_minimise(read_json(job.folder / RESULT)["objective"])
                self.tell(Outcome(job, value, None, 0.0))
        return self

    def __exit__(self, *problem: object) -> None:
        self._status.stop()

    @property
    def left(self) -> list[Job]:
        """Jobs that have not ended."""
        ended = {outcome.job.number for outcome in self._outcomes}
        return [job for job in self.jobs if job.number not in ended]

    @property
    def outcomes(self) -> list[Outcome]:
        """Of the jobs that have ended, by number."""
        return sorted(self._outcomes, key=lambda outcome: outcome.job.number)

    def tell(self, outcome: Outcome) -> None:
        """Count a job that has ended, and say so."""
        self._outcomes.append(outcome)
        what = f"failed: {outcome.error}" if outcome.value is None else f"{abs(outcome.value):.4f}"
        what = outcome.error or "" if outcome.pruned else what
        log.info("job %d: %s (%.0f s); %s", outcome.job.number, what, outcome.seconds, self)
        self._status.update(str(self))

    def __str__(self) -> str:
        done = [outcome for outcome in self._outcomes if outcome.value is not None]
        told = f"{len(done)} of {len(self.jobs)} done, {self.running} running"
        pruned = sum(outcome.pruned for outcome in self._outcomes)
        for count, word in ((len(self._outcomes) - len(done) - pruned, "failed"), (pruned, "pruned")):
            told += f", {count} {word}" if count else ""
        values = {outcome.job.number: outcome.value for outcome in done if outcome.value is not None}
        if len({value < 0 for value in values.values()}) == 1:  # errors and NDCGs have no best among them
            best = min(values, key=lambda number: values[number])
            told += f", best {abs(values[best]):.4f} (job {best})"
        ran = [outcome.seconds for outcome in self._outcomes if outcome.seconds]
        if self.left and ran:
            told += f", about {statistics.median(ran) * len(self.left) / self.slots / 60:.1f} min left"
        return told
