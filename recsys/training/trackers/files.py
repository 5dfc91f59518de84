"""Loggers of Lightning that write files into the run folder: TensorBoard events, CSV, or a logger of your own."""

import shlex
import warnings
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import yaml
from hydra.utils import get_class, instantiate
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger

from recsys.errors import ConfigError, first_line, shortened
from recsys.training.trackers.base import Tracker, final_metrics
from recsys.training.trackers.hparams import SHOWN, hparams
from recsys.training.trackers.run import TrackedRun

MAX_SUFFIX = 100  # bytes; with TensorBoard's own part, the name of a file must have at most 255


class FileTracker(Tracker):
    """Records a run with a logger of Lightning; each training gets its own logger.

    Args:
        run: the run.
        key: the key of its node in the configuration, such as "logger.csv".
        node: the class of the logger (`_target_`) and its arguments.
    """

    def __init__(self, run: TrackedRun, key: str, node: Mapping[str, Any]) -> None:
        super().__init__(run)
        self._key, self._node = key, dict(node)
        self._logger: Logger | None = None
        try:
            str(run.folder).encode()
        except UnicodeEncodeError:
            raise ConfigError(
                f"output_dir={run.folder}: must be valid UTF-8 for a logger; choose another folder, or logger=none"
            ) from None

    @classmethod
    def errors(cls, key: str, node: Mapping[str, Any]) -> Iterator[str]:
        """Yield errors in `flush_logs_every_n_steps` and `filename_suffix`, which Lightning does not check."""
        if (every := node.get("flush_logs_every_n_steps", 1)) < 1:
            yield f"{key}.flush_logs_every_n_steps={every}: must be at least 1"
        suffix = str(node.get("filename_suffix", ""))
        if "/" in suffix or "\0" in suffix or len(suffix.encode(errors="replace")) > MAX_SUFFIX:
            yield (
                f"{key}.filename_suffix={shortened(suffix, quoted=False)}: must have no slash, no NUL, and at most "
                f"{MAX_SUFFIX} bytes"
            )

    @classmethod
    def watch(cls, folder: Path, node: Mapping[str, Any]) -> str | None:
        """Return the command that starts TensorBoard."""
        if issubclass(get_class(node["_target_"]), TensorBoardLogger):
            return f"tensorboard --logdir {shlex.quote(str(folder.parent))}"
        return None

    def logger(self, folder: Path, step: int | None, prefix: str) -> Logger:
        """Return a logger for files in `folder`; in a sweep, in a subfolder that TensorBoard shows as the run's name.

        A resumed run keeps what it logged before: TensorBoard shows it up to `step`; a CSV file is renamed.

        Raises:
            ConfigError: the logger cannot be built, or would write outside of `folder`, as an untrusted configuration
                may attempt.
        """
        if folder == self.run.folder:
            folder = folder / self.run.name
        change: dict[str, Any] = {"save_dir": str(folder)}
        if step is not None and issubclass(get_class(self._node["_target_"]), TensorBoardLogger):
            change["purge_step"] = step
        self._require_inside(folder, self.run.folder)
        try:
            logger = instantiate(self._node, **change)
            if not isinstance(logger, Logger):
                raise TypeError(f"a {type(logger).__name__} is not a logger")
        except Exception as error:  # arguments of a class of Lightning, which does not check them
            raise ConfigError(f"{self._key}: {first_line(error.__cause__ or error)}") from None
        if logger.log_dir:
            self._require_inside(Path(logger.log_dir), folder)
            if step is not None and isinstance(logger, CSVLogger):
                _keep_metrics(Path(logger.log_dir))
        if isinstance(logger, TensorBoardLogger):
            try:
                _ = logger.experiment  # opens the file, with arguments that the logger does not check
            except TypeError as error:
                raise ConfigError(f"{self._key}: {first_line(error)}") from None
            if step is None:
                logger.experiment.add_text("config", _as_markdown(self.run.config))
        else:
            with warnings.catch_warnings():  # a run folder is never empty
                warnings.filterwarnings("ignore", ".*Experiment logs directory .* exists and is not empty.*")
                logger.log_hyperparams(self.run.config)
        self._logger = logger
        return logger

    def _require_inside(self, path: Path, folder: Path) -> None:
        if not path.resolve().is_relative_to(folder.resolve()):
            raise ConfigError(f"{self._key}: would write to {path}, which is outside of the run folder")

    def log_result(self, metrics: Mapping[str, float], shown: tuple[str, ...], step: int) -> None:
        """Add the final metrics, and the run's row of TensorBoard's HParams table.

        The table has no test metrics: a test metric by which runs are selected would be biased.
        """
        logger, values = self._logger, final_metrics(metrics)
        assert logger is not None
        if isinstance(logger, TensorBoardLogger):
            best = final_metrics({name: metrics[name] for name in shown})
            logger.log_hyperparams(hparams(self.run.config, self.run.swept or SHOWN), best, step)
            logger.log_metrics({name: value for name, value in values.items() if name not in best}, step)
            logger.experiment.flush()
        else:
            logger.log_metrics(values, step)
            logger.save()


def _keep_metrics(folder: Path) -> None:
    """Rename metrics.csv of an earlier session, which Lightning would remove, to the first name that is unused."""
    if (metrics := folder / "metrics.csv").is_file():
        names = (folder / f"metrics-{number}.csv" for number in count(1))
        metrics.replace(next(name for name in names if not name.exists()))


def _as_markdown(config: dict[str, Any]) -> str:
    """Return a configuration as a code block."""
    text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
    return "".join(f"    {line}\n" for line in text.splitlines())
