"""All trackers of a run, as the configuration describes them."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from matplotlib.figure import Figure
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import Logger

from recsys.errors import ConfigError, Pruned, Stopped, UserError, first_line
from recsys.runs.processes import process_rank
from recsys.training.trackers.base import CurveLogger, Status, Tracker
from recsys.training.trackers.files import FileTracker
from recsys.training.trackers.nodes import Node, logger_nodes, tracker_class
from recsys.training.trackers.run import TrackedRun


class Trackers:
    """The trackers of a run; they are none in further processes of a distributed run.

    Args:
        nodes: the configuration of each, by name.
        run: the run.

    Raises:
        ConfigError: one cannot be used, for example because its server does not answer.
    """

    def __init__(self, nodes: Mapping[str, Node], run: TrackedRun) -> None:
        self.run = run
        self._is_silent = process_rank() > 0 and bool(nodes)
        self._trackers: dict[str, Tracker] = {}
        for name, node in nodes.items() if not self._is_silent else ():
            kind = tracker_class(node)
            if issubclass(kind, FileTracker):
                tracker: Tracker = kind(run, f"logger.{name}", node)
            else:
                tracker = kind(run, **{key: value for key, value in node.items() if not key.startswith("_")})
            with _as_config_error(name, tracker):
                tracker.connect()
            self._trackers[name] = tracker

    def start(self, tags: Mapping[str, str]) -> None:
        """Begin the run in each tracker.

        Raises:
            ConfigError: a tracker cannot record it.
        """
        for name, tracker in self._trackers.items():
            with _as_config_error(name, tracker):
                tracker.start(tags)

    def loggers(self, folder: Path, step: int | None, prefix: str) -> list[Logger]:
        """Return the loggers of one training; see `Tracker.logger`."""
        if self._is_silent:  # the callbacks of all processes are the same, and some need a logger
            return [CurveLogger(lambda metrics, step: None)]
        return [tracker.logger(folder, step, prefix) for tracker in self._trackers.values()]

    def log_figure(self, tag: str, draw: Callable[[], Figure]) -> None:
        """Add a figure; see `Tracker.log_figure`."""
        for tracker in self._trackers.values():
            tracker.log_figure(tag, draw)

    def log_result(self, metrics: Mapping[str, float], shown: tuple[str, ...], step: int) -> None:
        """Add the final metrics; see `Tracker.log_result`."""
        for tracker in self._trackers.values():
            tracker.log_result(metrics, shown, step)

    def close(self, status: Status) -> None:
        """End the run in each tracker."""
        for tracker in self._trackers.values():
            tracker.close(status)


@contextmanager
def open_trackers(cfg: DictConfig, run: TrackedRun) -> Iterator[Trackers]:
    """Yield the trackers of a run, and close them with the status that the block ends with."""
    is_dev_run = OmegaConf.select(cfg, "trainer.fast_dev_run")  # Lightning logs nothing then
    nodes = {} if is_dev_run else logger_nodes(cfg)
    trackers, status = Trackers(nodes, run), "failed"
    try:
        yield trackers
        status = "completed"
    except (KeyboardInterrupt, Stopped, Pruned):
        status = "stopped"
        raise
    finally:
        trackers.close(status)  # type: ignore[arg-type]


@contextmanager
def _as_config_error(name: str, tracker: Tracker) -> Iterator[None]:
    """Convert any error of a tracker's library to a ConfigError."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # of a server, of the network, or of a database
        reason = tracker.masked(first_line(error))
        raise ConfigError(
            f"logger.{name}: cannot be used ({reason:.500}); check logger.{name}.*, or train with logger=tensorboard"
        ) from None
