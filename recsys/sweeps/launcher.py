"""From Hydra's jobs to ours and back: validated all together, run by a pool, reported as Hydra expects."""

import logging
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import yaml
from filelock import FileLock, Timeout
from hydra.core.utils import JobReturn, JobStatus, configure_log, setup_globals
from hydra.errors import HydraException
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict

from recsys.errors import ConfigError, RunError, Stopped, TrainingError
from recsys.leaderboard.report import compare
from recsys.paths import conf_dir
from recsys.runs.folder import LOCK, RESULT, read_json
from recsys.runs.processes import STOP_SIGNALS, started_by
from recsys.runs.resume import config_folders, config_words
from recsys.sweeps.job import Job, Outcome

log = logging.getLogger(__name__)

Run = Callable[[Sequence[Job], DictConfig], list[Outcome]]


def launch(
    context: HydraContext,
    config: DictConfig,
    job_overrides: Sequence[Sequence[str]],
    first: int,
    run: Run,
    report: bool = True,
) -> list[JobReturn]:
    """Validate every job, then run them.

    Args:
        context: Hydra's, for composing.
        config: the sweep's configuration.
        job_overrides: one list per job.
        first: the number of the first job.
        run: from jobs and the first job's configuration to outcomes.
        report: whether to write the leaderboard at the end.

    Returns:
        Hydra's record of each job; the return value is the best validation value.

    Raises:
        ConfigError: a job cannot work, two files in one command sweep, or a resumed sweep was another one.
    """
    setup_globals()
    configure_log(config.hydra.hydra_logging, config.hydra.verbose)
    configs = compose_jobs(context, config, job_overrides, first)
    folder = Path(config.hydra.sweep.dir).absolute()
    if "${" in str(folder):
        raise ConfigError(
            f"{folder}: a folder of runs cannot have ${{ in its name; output_dir=... names another"
        )
    more = command_line(config)
    jobs = [
        Job(number, words_of_a_job(overrides), folder / str(cfg.hydra.sweep.subdir), more)
        for number, (overrides, cfg) in enumerate(zip(job_overrides, configs, strict=True), first)
    ]
    for job in jobs:
        if (job.folder / RESULT).is_file() and not job.is_done():
            raise ConfigError(
                f"sweep.resume={folder}: its job {job.number} was run with other overrides "
                f"({' '.join(read_json(job.folder / RESULT)['overrides'])}); the same command goes on with it"
            )
    with only_sweep_in(folder), _stops(f"the same command with sweep.resume={config.hydra.sweep.dir}"):
        if first == 0:  # a search launches many times over
            log.info("%s%s", f"{len(jobs)} jobs in " if report else "", folder)
        outcomes = {outcome.job.number: outcome for outcome in run(jobs, configs[0])}
    if report:
        write_leaderboard(folder)
    return [as_hydra_sees(job, cfg, outcomes.get(job.number)) for job, cfg in zip(jobs, configs, strict=True)]


@contextmanager
def only_sweep_in(folder: Path) -> Iterator[None]:
    """Hold a sweep's folder; the system gives it back however the process ends.

    Raises:
        ConfigError: another process holds it.
    """
    try:
        with FileLock(folder / LOCK, timeout=0, is_singleton=True):  # a search holds it all along
            yield
    except Timeout:
        raise ConfigError(f"sweep.resume={folder}: this sweep is running") from None


@contextmanager
def _stops(way: str) -> Iterator[None]:
    """A signal that lets a run end, saved, lets all runs of a sweep.

    Raises:
        Stopped: with the way to go on.
    """
    received = signal.SIGINT

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal received
        received = signal.Signals(number)
        raise KeyboardInterrupt  # logging, for one, swallows what is merely an Exception

    heeded = [number for number in STOP_SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in heeded}
    try:
        yield
    except KeyboardInterrupt:
        raise Stopped(f"stopped by {received.name}; to go on: {way}", received) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def write_leaderboard(folder: Path) -> None:
    """Print the leaderboard of a sweep, and leave it as a page in its folder."""
    try:
        compare(folder, page=folder / "leaderboard.html")
    except RunError as problem:  # such as jobs on other data: each has its result, there is just no order
        log.warning("no leaderboard: %s", problem)


def compose_jobs(
    context: HydraContext,
    config: DictConfig,
    job_overrides: Sequence[Sequence[str]],
    first: int | None = None,
) -> list[DictConfig]:
    """The configurations of jobs, all of them sound.

    Args:
        context: Hydra's, for composing.
        config: the sweep's configuration.
        job_overrides: one list per job.
        first: the number of the first job; None: they are tries, and errors name no number.

    Raises:
        ConfigError: there are no jobs; two files in one command sweep; or the errors of all jobs, each with
            the number of the first job that has it.
    """
    if (started := started_by()) and started[1] > 1:
        raise ConfigError(f"a sweep was started {started[1]} times by {started[0]}: start it once, by itself")
    if not job_overrides:
        raise ConfigError("nothing to run: a swept key has no values")
    refuse_two_sweeps(config, job_overrides)
    from recsys.config.validate import target_errors, validate

    for node in ("launcher", "sweeper"):
        plain: Any = OmegaConf.to_container(config.hydra[node])
        if "recsys" in plain["_target_"] and (wrong := list(target_errors(f"hydra.{node}", plain))):
            raise ConfigError("\n".join(wrong))
    configs, errors = [], dict[str, int]()
    for number, overrides in enumerate(job_overrides, first or 0):
        try:
            job_config = context.config_loader.load_sweep_config(config, list(overrides))
        except HydraException as problem:  # such as a key that one of two swept models does not have
            told = str(problem.__cause__ or problem).splitlines()[0]
            raise ConfigError(f"job {number} ({' '.join(overrides)}): {told}") from None
        with open_dict(job_config):
            job_config.hydra.job.id = str(number)
            job_config.hydra.job.num = number
        configs.append(job_config)
        for key in ("hardware.devices", "hardware.num_nodes", "output_dir"):
            own, common = OmegaConf.select(job_config, key), OmegaConf.select(config, key)
            if own is not None and own != common:
                errors.setdefault(f"{key}={own}, but {common} for the sweep: all its jobs share one", number)
        task = job_config.copy()
        with open_dict(task):
            task.pop("hydra")
        try:
            validate(task)
        except ConfigError as problem:
            for line in str(problem).splitlines():
                errors.setdefault(line, number)
    if errors:
        lines = (line if first is None else f"job {number}: {line}" for line, number in errors.items())
        raise ConfigError("\n".join(lines))
    return configs


def refuse_two_sweeps(config: DictConfig, job_overrides: Sequence[Sequence[str]]) -> None:
    """Two files that sweep would become one grid, or one of them would be lost, without a word.

    Raises:
        ConfigError: names the files.
    """
    chosen = {
        word
        for overrides in job_overrides
        for word in overrides
        if word.startswith(("sweep=", "experiment="))
    }
    sweeping = []
    for word in sorted(chosen):
        for place in dict.fromkeys([conf_dir(), *config_folders(config.hydra)]):
            file = Path(place, *word.split("=", 1)).with_suffix(".yaml")
            content = yaml.safe_load(file.read_text()) if file.is_file() else {}
            if content.get("hydra", {}).get("sweeper", {}).get("params"):
                sweeping.append(word)
    if len(sweeping) > 1:
        raise ConfigError(
            f"{' and '.join(sweeping)}: one file that sweeps at a time; type further keys with -m"
        )


def words_of_a_job(overrides: Sequence[str]) -> tuple[str, ...]:
    """A job is the same wherever its sweep lies, and whether that was started or resumed."""
    return tuple(word for word in overrides if not word.startswith(("sweep.resume=", "output_dir=")))


def command_line(config: DictConfig) -> tuple[str, ...]:
    """What a job's command needs beside its overrides to find the same configuration files."""
    searched = [word for word in config.hydra.overrides.hydra if word.startswith("hydra.searchpath")]
    return (*config_words(config.hydra), *searched)


def as_hydra_sees(job: Job, config: DictConfig, outcome: Outcome | None) -> JobReturn:
    """Hydra's record of a job."""
    done = outcome is not None and outcome.value is not None
    record = JobReturn(job.overrides, config, config.hydra, str(job.folder))
    record.status = JobStatus.COMPLETED if done else JobStatus.FAILED
    why = outcome.error if outcome is not None else "not run: the sweep was stopped before"
    record.return_value = outcome.value if done and outcome else TrainingError(f"job {job.number}: {why}")
    return record
