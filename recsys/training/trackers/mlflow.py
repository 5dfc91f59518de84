"""MLflow: a local SQLite file, or a tracking server. The package `mlflow` or `mlflow-skinny` is optional."""

import importlib.util
import logging
import os
import re
import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

import yaml
from filelock import FileLock
from matplotlib.figure import Figure

from recsys.paths import git_commit
from recsys.runs.entries import check_no_link
from recsys.runs.record import flattened
from recsys.training.trackers.base import RemoteTracker, Status, final_metrics
from recsys.training.trackers.mlflow_store import has_password, sqlite_file, store_of_user, ui_command
from recsys.training.trackers.run import TrackedRun

if TYPE_CHECKING:
    from mlflow.entities import Metric

STATUS = {"completed": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}
ID = "recsys.id"  # the tag by which a resumed run and the jobs of a sweep find their MLflow run
# Curves are sent in batches, because one SQLite transaction takes 4 ms, as long as several steps: at least every five
# seconds, and more often if that takes at most 2 % of the time. A process that is killed loses the points in between.
FLUSH_SECONDS, FLUSH_SHARE = 5.0, 0.02
MAX_DELAY = 600.0  # seconds between attempts to reach a server that does not answer
MAX_METRICS, MAX_PARAMS = 1000, 100  # of one request, set by MLflow
MAX_VALUE = 6000  # characters of a parameter, set by MLflow
# MLflow waits up to 120 seconds per request, tries 8 times, and reports usage to its makers. Values that are set in the
# environment are kept.
ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}

log = logging.getLogger(__name__)


class MLflowTracker(RemoteTracker):
    """Records a run in MLflow; the jobs of a sweep are nested under one parent run.

    Args:
        run: the run.
        tracking_uri: a server (`http://host:5000`) or database (`sqlite:///file`); None: the environment variable
            `MLFLOW_TRACKING_URI`, or else the file outputs/mlflow.db in the current folder.
        experiment_name: the experiment, which is created if it does not exist.
        run_name: the name of the run; None: that of the run folder, in a sweep the values that vary.
        artifact_location: where a new experiment keeps its files; None: next to a SQLite file, or where the server
            keeps them.
        tags: further tags.
    """

    destinations: ClassVar[dict[str, object]] = {"tracking_uri": None, "artifact_location": None}

    def __init__(
        self,
        run: TrackedRun,
        tracking_uri: str | None = None,
        experiment_name: str = "recsys",
        run_name: str | None = None,
        artifact_location: str | None = None,
        tags: dict[str, str | int | float | bool] | None = None,
    ) -> None:
        super().__init__(run)
        self._name, self._tags = run_name or run.title, tags or {}
        self._uri, self._experiment_name = tracking_uri or store_of_user(), experiment_name
        self._artifact_location = artifact_location
        self._run_id, self._parent_id = "", ""
        self._pending: list[Metric] = []
        self._delay, self._next_flush = 0.0, 0.0

    @classmethod
    def errors(cls, key: str, node: Mapping[str, Any]) -> Iterator[str]:
        """Yield an error for a package that is missing, and for a password in the address."""
        uri = node.get("tracking_uri") or store_of_user()
        needed = ["mlflow", *(("sqlalchemy", "alembic") if sqlite_file(uri) else ())]
        if any(importlib.util.find_spec(name) is None for name in needed):
            yield f"{key}: needs {', '.join(needed)}; pip install {' '.join(['mlflow-skinny', *needed[1:]])}"
        if node.get("tracking_uri") and has_password(uri):
            yield (
                f"{key}.tracking_uri: contains a password, which would be written to the run folder; set "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or give the address in MLFLOW_TRACKING_URI"
            )

    @classmethod
    def watch(cls, folder: Path, node: Mapping[str, Any]) -> str | None:
        """Return the command that starts MLflow's page, or the address of the server."""
        uri = node.get("tracking_uri") or store_of_user()
        if uri.startswith("http"):
            return urlsplit(uri)._replace(netloc=urlsplit(uri).netloc.rpartition("@")[2]).geturl()
        store = '"$MLFLOW_TRACKING_URI"' if has_password(uri) else shlex.quote(uri)
        return f"{ui_command()} --backend-store-uri {store}"

    def connect(self) -> None:
        """Open the store, and find or create the experiment."""
        for variable, value in ENVIRONMENT.items():
            os.environ.setdefault(variable, value)
        from mlflow import MlflowClient  # which sets up logging for itself

        for library in ("mlflow", "alembic"):  # many lines about a new database
            logging.getLogger(library).setLevel(logging.WARNING)
        location, file = self._artifact_location, sqlite_file(self._uri)
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            location = location or (file.parent / "mlartifacts").as_uri()
        with self._lock():
            self._client = MlflowClient(self._uri)
            found = self._client.get_experiment_by_name(self._experiment_name)
            self._experiment = (
                self._client.create_experiment(self._experiment_name, location)
                if found is None
                else found.experiment_id
            )

    def start(self, tags: Mapping[str, str]) -> None:
        """Create the run, or set the status of a resumed one to RUNNING."""
        from mlflow.entities import Param, RunTag

        with self._lock():
            self._run_id = self._find(self.run.id)
            self._parent_id = self._parent()
            own = {**tags, **self._tags, ID: self.run.id, "folder": self.run.folder}
            own["mlflow.source.name"] = "recsys-train"
            if commit := git_commit():
                own["mlflow.source.git.commit"] = commit
            if self._parent_id:
                own["mlflow.parentRunId"] = self._parent_id
            if self._run_id:
                self._client.update_run(self._run_id, "RUNNING")
            else:
                everything = {mlflow_name(key): str(value) for key, value in own.items()}
                run = self._client.create_run(self._experiment, tags=everything, run_name=self._name)
                self._run_id = run.info.run_id
        values = [
            Param(mlflow_name(key), str(value)[:MAX_VALUE])
            for key, value in flattened(self.run.config).items()
        ]
        for begin in range(0, len(values), MAX_PARAMS):
            self._client.log_batch(self._run_id, params=values[begin : begin + MAX_PARAMS])
        self._client.log_batch(self._run_id, tags=[RunTag("status", "running")])
        text = yaml.safe_dump(self.run.config, sort_keys=False, allow_unicode=True)
        self.attempt(
            lambda: self._client.log_text(self._run_id, text, "config.yaml"),
            "config.yaml is not stored there",
        )
        log.info("MLflow run %s (%s)", self._run_id, self._name)

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Add one point to each of the curves; they are sent every few seconds."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._pending += [
            Metric(mlflow_name(name), float(value), now, step) for name, value in metrics.items()
        ]
        if time.monotonic() >= self._next_flush:
            self._flush()

    def log_figure(self, tag: str, draw: Callable[[], Figure]) -> None:
        """Draw a figure, and add it as an artifact."""
        figure = draw()
        self.attempt(
            lambda: self._client.log_figure(self._run_id, figure, f"{tag}.png"), f"{tag} is not stored there"
        )

    def log_result(self, metrics: Mapping[str, float], shown: tuple[str, ...], step: int) -> None:
        """Add the final metrics."""
        self.log_metrics(final_metrics(metrics), step)

    def close(self, status: Status) -> None:
        """Send the rest of the curves, and set the status of the run."""
        if not self._run_id:  # ended before it was trained
            return
        self._flush()
        if self._pending:
            log.warning(
                "MLflow: %d values could not be sent; the run folder has the result and the weights",
                len(self._pending),
            )

        def end() -> None:
            self._client.set_tag(self._run_id, "status", status)
            self._client.set_terminated(self._run_id, STATUS[status])
            if self._parent_id:  # at its end is that of its last job
                self._client.set_terminated(self._parent_id, STATUS["completed"])

        self.attempt(end, "the status of the run is not updated there")

    def masked(self, text: str) -> str:
        """Return text without the password in the address of the store."""
        password = urlsplit(self._uri).password
        return text.replace(password, "***") if password else text

    def _flush(self) -> None:
        """Send what is pending. If that fails it stays pending, and the next attempt is later each time."""

        def send() -> None:
            while self._pending:
                self._client.log_batch(self._run_id, metrics=self._pending[:MAX_METRICS])
                del self._pending[:MAX_METRICS]

        begin = time.monotonic()
        is_sent = self.attempt(send, "curves are kept and sent later")
        end = time.monotonic()
        pause = min(FLUSH_SECONDS, (end - begin) / FLUSH_SHARE)
        self._delay = pause if is_sent else min(MAX_DELAY, max(60.0, 2 * self._delay))
        self._next_flush = end + self._delay

    def _find(self, own_id: str) -> str:
        """Return the MLflow id of the run with an id of ours; "" if there is none."""
        found = self._client.search_runs([self._experiment], f"tags.`{ID}` = '{own_id}'", max_results=1)
        return found[0].info.run_id if found else ""

    def _parent(self) -> str:
        """Return the MLflow id of the run of the sweep, which the first job creates; "" outside of a sweep."""
        if self.run.sweep is None:
            return ""
        found = self._find(self.run.sweep_id)
        if found:
            self._client.update_run(found, "RUNNING")
            return found
        tags = {ID: self.run.sweep_id, "folder": str(self.run.sweep), "swept": ", ".join(self.run.swept)}
        run = self._client.create_run(self._experiment, tags=tags, run_name=self.run.sweep.name)
        return run.info.run_id

    def _lock(self) -> AbstractContextManager[object]:
        """Return a lock against other jobs that create the same tables, experiment or parent run."""
        file = sqlite_file(self._uri)
        if file is not None:
            return FileLock(f"{file}.lock")
        if self.run.sweep is None:
            return nullcontext()
        lock = self.run.sweep / ".mlflow.lock"
        check_no_link(lock)
        return FileLock(lock)


def mlflow_name(name: str) -> str:
    """Return a name with the characters that MLflow allows: test/ndcg@10 is test/ndcg_at_10."""
    return re.sub(r"[^\w./: -]", "_", name.replace("@", "_at_"))
