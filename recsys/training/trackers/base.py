"""The contract of a tracker: it records runs, so that they can be compared in one place."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from matplotlib.figure import Figure
from pytorch_lightning.loggers import Logger

from recsys.errors import first_line
from recsys.training.trackers.run import TrackedRun

Status = Literal["completed", "failed", "stopped"]

log = logging.getLogger(__name__)


class Tracker(ABC):
    """Records one run: its name, tags, configuration, curves, figures and final metrics.

    Only the first process of a distributed run has trackers. The methods are called in the order in which they are
    listed. An error of `connect` or `start` ends the run before it is trained.

    Args:
        run: the run.

    Attributes:
        destinations: the keys that decide where data is sent, each with the value for which it stays in the run
            folder or goes to the place that the user's environment names. A run of someone else is resumed only with
            these values, or with values that the user types; see docs/security.md.
    """

    destinations: ClassVar[dict[str, object]] = {}

    def __init__(self, run: TrackedRun) -> None:
        self.run = run

    @classmethod
    def errors(cls, key: str, node: Mapping[str, Any]) -> Iterator[str]:
        """Yield what makes a node of the configuration unusable, such as a package that is not installed.

        Args:
            key: of the node, such as "logger.mlflow".
            node: its values, of the types of the signature.
        """
        yield from ()

    @classmethod
    def watch(cls, folder: Path, node: Mapping[str, Any]) -> str | None:
        """Return the command that shows a finished run; None if there is none.

        Args:
            folder: the run folder; <folder of the sweep>/* stands for all runs of a sweep.
            node: the tracker's values.
        """
        return None

    def connect(self) -> None:
        """Check that the place of the runs can be reached; called before data is loaded."""
        return

    def start(self, tags: Mapping[str, str]) -> None:
        """Begin the run, or continue it after a resume.

        Args:
            tags: names of the data, the split, the model and so on.
        """
        return

    @abstractmethod
    def logger(self, folder: Path, step: int | None, prefix: str) -> Logger:
        """Return the logger for the curves of one training.

        Args:
            folder: of the training: the run folder, or with refit=true a subfolder for the first training.
            step: the step at which a resumed training continues; None for a new one.
            prefix: "refit/" for the second training of a run with refit=true, otherwise "".
        """

    def log_figure(self, tag: str, draw: Callable[[], Figure]) -> None:
        """Draw a figure and add it. By default, do nothing.

        TensorBoard gets no figures of the data: it would repeat them for each run in a list of figures.

        Args:
            tag: its name.
            draw: returns the figure; called only by a tracker that adds it.
        """
        return

    @abstractmethod
    def log_result(self, metrics: Mapping[str, float], shown: tuple[str, ...], step: int) -> None:
        """Add the final metrics. Those of the validation set get names of their own, see `final_metrics`.

        Args:
            metrics: such as {"val/rmse": 0.9, "test/rmse": 0.91}.
            shown: the validation metrics that a table of many runs shows.
            step: the last step.
        """

    def close(self, status: Status) -> None:
        """End the run."""
        return

    def masked(self, text: str) -> str:
        """Return text without the secrets that the tracker knows, for messages."""
        return text


class RemoteTracker(Tracker):
    """A tracker whose errors do not end a run that is being trained: they are logged once."""

    _has_warned = False

    def logger(self, folder: Path, step: int | None, prefix: str) -> Logger:
        """Return a logger that passes the metrics to `log_metrics`."""
        return CurveLogger(self.log_metrics, prefix)

    @abstractmethod
    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Add one point to each of the curves; never raises."""

    def attempt(self, action: Callable[[], object], consequence: str) -> bool:
        """Call a function of the tracker, and return whether it succeeded; the first error is logged.

        Args:
            action: the function.
            consequence: the end of the message: what is missing now.
        """
        try:
            action()
        except Exception as error:  # of a server, of the network, or of a library
            if not self._has_warned:
                self._has_warned = True
                reason = self.masked(first_line(error))
                log.warning("%s: %.500s; %s. Training continues", type(self).__name__, reason, consequence)
            return False
        return True


class CurveLogger(Logger):
    """A logger of Lightning that passes metrics on.

    Args:
        log_metrics: called with {name: value} and the step.
        prefix: put before each name.
    """

    name = version = None  # of files of a logger; this one writes none

    def __init__(self, log_metrics: Callable[[Mapping[str, float], int], None], prefix: str = "") -> None:
        super().__init__()
        self._log, self._prefix = log_metrics, prefix

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Pass the metrics on."""
        self._log({self._prefix + name: value for name, value in metrics.items()}, step or 0)

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the tracker records the whole configuration."""


def final_metrics(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the final metrics of a run with val/rmse renamed to val/best_rmse.

    A tracker shows the last value of the curve val/rmse, and the last epoch is not the best one.
    """
    return {
        name.replace("/", "/best_") if name.startswith("val/") else name: value
        for name, value in metrics.items()
    }
