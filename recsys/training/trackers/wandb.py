"""Weights & Biases. By default its files stay in the run folder. The package `wandb` is optional."""

import importlib.util
import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from matplotlib.figure import Figure

from recsys.errors import ConfigError
from recsys.training.trackers.base import RemoteTracker, Status, final_metrics
from recsys.training.trackers.run import TrackedRun

if TYPE_CHECKING:
    from wandb import Run

EXIT_CODES = {"completed": 0, "failed": 1, "stopped": 130}  # W&B shows the others as failed
STEP = "trainer/global_step"  # the x axis of all curves, named as by Lightning's WandbLogger
INIT_SECONDS = 30  # until a server that does not answer is an error
MAX_TAG = 64  # characters, set by W&B


class WandbTracker(RemoteTracker):
    """Records a run in Weights & Biases; the jobs of a sweep are one group.

    Args:
        run: the run.
        project: the project.
        entity: the user or team; None: the default of your account.
        name: the name of the run; None: that of the run folder, in a sweep the values that vary.
        group: the group of the run; None: in a sweep the name of its folder.
        notes: a text about the run.
        tags: further tags.
        offline: whether the run is only written to the run folder, from where `wandb sync` can send it.
    """

    destinations: ClassVar[dict[str, object]] = {"offline": True, "entity": None}

    def __init__(
        self,
        run: TrackedRun,
        project: str = "recsys",
        entity: str | None = None,
        name: str | None = None,
        group: str | None = None,
        notes: str | None = None,
        tags: list[str] | None = None,
        offline: bool = True,
    ) -> None:
        super().__init__(run)
        self._tags, self._offline = tags or [], offline
        self._options: dict[str, Any] = {
            "project": project,
            "entity": entity,
            "name": name or run.title,
            "group": group or (run.sweep.name if run.sweep else None),
            "notes": notes,
        }
        self._wandb_run: Run | None = None

    @classmethod
    def errors(cls, key: str, node: Mapping[str, Any]) -> Iterator[str]:
        """Yield an error if the package is missing."""
        if importlib.util.find_spec("wandb") is None:
            yield f"{key}: needs wandb; pip install wandb"

    @classmethod
    def watch(cls, folder: Path, node: Mapping[str, Any]) -> str | None:
        """Return the command that sends a run, or those of a sweep, that were recorded offline."""
        if node.get("offline", True):
            runs = f"{shlex.quote(str(folder.parent))}/*" if folder.name == "*" else shlex.quote(str(folder))
            return f"wandb sync {runs}/wandb/offline-run-*"
        return None

    def connect(self) -> None:
        """Find the API key that sending needs; there is no prompt for it."""
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # to its makers; read when it is imported
        import wandb

        if not self._offline and not wandb.login(prompt=False):
            raise ConfigError(
                "logger.wandb.offline=false: no API key; set WANDB_API_KEY, call wandb login, or use offline=true"
            )

    def start(self, tags: Mapping[str, str]) -> None:
        """Begin the run, or continue it under the same id."""
        import wandb

        settings = wandb.Settings(
            silent=True,  # the log says what W&B would print
            console="off",  # the run folder has a log
            symlink=False,  # a run folder with links cannot be resumed
            disable_git=True,
            disable_code=True,
            x_disable_stats=self._offline,  # its sampling asks a server for facts about the machine
            init_timeout=INIT_SECONDS,
        )
        every = [*(f"{key}={value}"[:MAX_TAG] for key, value in tags.items()), *self._tags]
        self._wandb_run = wandb.init(
            **self._options,
            id=self.run.id,
            dir=str(self.run.folder),
            mode="offline" if self._offline else "online",
            resume="allow",  # also offline: wandb sync then appends the files of a resumed run
            reinit="create_new",  # several runs of one process are separate
            config=self.run.config,
            tags=every,
            settings=settings,
        )
        # The log of a background process, a link to a file in the user's cache.
        for link in (self.run.folder / "wandb").glob("*/logs/debug-core.log"):
            link.unlink()
        self._wandb_run.define_metric(STEP)
        self._wandb_run.define_metric("*", step_metric=STEP)

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Add one point to each of the curves."""
        self._log({**metrics, STEP: step})

    def log_figure(self, tag: str, draw: Callable[[], Figure]) -> None:
        """Draw a figure, and add it as an image."""
        import wandb

        self._log({tag: wandb.Image(draw())})

    def log_result(self, metrics: Mapping[str, float], shown: tuple[str, ...], step: int) -> None:
        """Add the final metrics to the summary of the run."""
        run = self._wandb_run
        assert run is not None
        self.attempt(
            lambda: run.summary.update(final_metrics(metrics)), "the final metrics are missing there"
        )

    def close(self, status: Status) -> None:
        """End the run, with its status in the summary."""
        if (run := self._wandb_run) is None:  # ended before it was trained
            return

        def end() -> None:
            run.summary["status"] = status
            run.finish(exit_code=EXIT_CODES[status])

        self.attempt(end, "the end of the run is missing there")

    def _log(self, values: dict[str, Any]) -> None:
        run = self._wandb_run
        assert run is not None
        self.attempt(lambda: run.log(values), "some of its values are missing there")
