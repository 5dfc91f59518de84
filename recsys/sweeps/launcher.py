"""Launch a sweep: check it, validate all jobs before the first starts, run them, report them to Hydra."""

import logging
import os
import secrets
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

# A launcher sets up logging and resolvers as Hydra's own do, and returns a JobReturn per job. hydra.core.utils is
# internal, but Hydra has no public module with these names.
from hydra.core.utils import JobReturn, JobStatus, configure_log, setup_globals
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf

from recsys.errors import ConfigError, Stopped, TrainingError
from recsys.paths import expanded
from recsys.runs.folder import MULTIRUN, RESULT, SWEEP, read_json, refuse_used, write_json
from recsys.runs.lock import lock_folder
from recsys.runs.processes import STOP_SIGNALS, external_launcher, raise_on_signals
from recsys.runs.record import config_arguments, without_start_keys
from recsys.runs.start import remove_empty
from recsys.sweeps.compose import compose_jobs, swept_overrides
from recsys.sweeps.finish import average_runs, write_leaderboard
from recsys.sweeps.job import Job, Outcome

log = logging.getLogger(__name__)

RunJobs = Callable[[Sequence[Job], DictConfig], list[Outcome]]


def launch(
    context: HydraContext,
    config: DictConfig,
    job_overrides: Sequence[Sequence[str]],
    first: int,
    run: RunJobs,
    is_search: bool = False,
) -> list[JobReturn]:
    """Validate every job, then run them.

    Args:
        context: Hydra's; its loader composes the configurations of the jobs.
        config: the configuration of the sweep.
        job_overrides: one list per job.
        first: the number of the first job.
        run: runs jobs, given the configuration of the first.
        is_search: whether this is a batch of a search, whose caller has locked the folder and writes the leaderboard.

    Returns:
        Hydra's record of each job; the return value in it is the objective as a value to minimise, or an error.

    Raises:
        ConfigError: a job is not valid, the folder is used, or holds the result of another job.
        Stopped: a signal has stopped the sweep.
    """
    setup_globals()
    configure_log(config.hydra.hydra_logging, config.hydra.verbose)
    configs = compose_jobs(context, config, job_overrides, first)
    folder = Path(config.hydra.sweep.dir).absolute()
    if "${" in str(folder):
        raise ConfigError(f"{folder}: a run folder cannot have ${{ in its name; choose another output_dir")
    arguments = tuple(config_arguments(OmegaConf.to_container(config.hydra)))  # type: ignore[arg-type]
    jobs = [
        Job(number, tuple(without_start_keys(overrides)), folder / str(cfg.hydra.sweep.subdir), arguments)
        for number, (overrides, cfg) in enumerate(zip(job_overrides, configs, strict=True), first)
    ]
    for job in jobs:
        _check_job_folder(job)
    if is_search:
        outcomes = run(jobs, configs[0])
    else:
        with hold_sweep(config, first):
            log.info("%d jobs in %s", len(jobs), folder)
            for job in jobs:
                job.remove_unusable()
            outcomes = run(jobs, configs[0])
            if config.sweep.average:
                average_runs(folder, outcomes, configs[0])
        write_leaderboard(folder, configs[0])
    by_number = {outcome.job.number: outcome for outcome in outcomes}
    return [job_return(job, cfg, by_number.get(job.number)) for job, cfg in zip(jobs, configs, strict=True)]


def _check_job_folder(job: Job) -> None:
    """Check that a job can write to its folder.

    Raises:
        ConfigError: it is a file or a link, or has the result of another job.
    """
    folder = job.folder
    if job.is_done():
        return
    if os.path.lexists(folder) and (folder.is_symlink() or not folder.is_dir()):
        raise ConfigError(f"{folder}: is a file or a link, not the folder of job {job.number}; remove it")
    if (folder / RESULT).is_file():
        raise ConfigError(
            f"{folder}: job {job.number} of the sweep in this folder had other overrides "
            f"({read_json(folder / RESULT).get('overrides')!s:.200}); repeat the original command, or choose another "
            "output_dir"
        )


def check_sweep(config: DictConfig) -> None:
    """Check what must hold before Hydra creates the folder of a sweep.

    Raises:
        ConfigError: several processes start the sweep, it has an interval without a search, it cannot be
            resumed, or its folder is used.
    """
    if (launcher := external_launcher()) and launcher[1] > 1:
        raise ConfigError(f"a sweep was started {launcher[1]} times by {launcher[0]}: start it once")
    if config.resume:
        raise ConfigError("resume=true with -m: to resume a sweep, use sweep.resume=<its folder>")
    is_grid = config.hydra.runtime.choices["hydra/sweeper"] == "basic"
    if is_grid:
        for override in swept_overrides(config):
            if not override.is_discrete_sweep():
                raise ConfigError(
                    f"{override.input_line}: a grid cannot sweep an interval; use hydra/sweeper=optuna"
                )
    if config.sweep.average and not is_grid:
        raise ConfigError(
            "sweep.average=true: the trials of a search are different networks; average a sweep over seeds"
        )
    resumed, chosen = config.sweep.resume, config.output_dir
    if resumed is not None:
        if not (expanded(resumed) / SWEEP).is_file():
            raise ConfigError(f"sweep.resume={resumed}: not the folder of a sweep (no {SWEEP})")
    elif chosen is not None:
        refuse_used(Path(config.hydra.sweep.dir), chosen)


@contextmanager
def hold_sweep(config: DictConfig, first: int = 0) -> Iterator[None]:
    """Lock the folder of a sweep and write its record, sweep.json; turn a signal into `Stopped`.

    A ConfigError in the block restores the record of a resumed sweep, and removes that of a new, empty one.

    Args:
        config: the configuration of the sweep.
        first: the number of the first job; above 0 for a later batch of a sweep of this process.

    Raises:
        ConfigError: another process runs this sweep, or a new sweep was given the folder of another.
        Stopped: a signal has stopped the sweep; the message says how to resume it.
    """
    folder = Path(config.hydra.sweep.dir).absolute()
    keys = [override.get_key_element().lstrip("+") for override in swept_overrides(config)]
    pruner = OmegaConf.to_container(config.hydra.sweeper, resolve=True).get("pruner")  # type: ignore[union-attr]
    with lock_folder(folder, f"sweep.resume={folder}: another process is running this sweep"):
        before = read_json(folder / SWEEP) if (folder / SWEEP).exists() else None
        if before is not None and first == 0 and config.sweep.resume is None:
            raise ConfigError(f"output_dir={folder}: already holds a sweep ({SWEEP}); choose another folder")
        own_id = (before or {}).get("id") or secrets.token_hex(16)
        write_json(folder / SWEEP, {"swept": list(dict.fromkeys(keys)), "pruner": pruner, "id": own_id})
        try:
            with _stop_on_signal(f"repeat the command with sweep.resume={config.hydra.sweep.dir}"):
                yield
        except ConfigError:
            if before is not None:
                write_json(folder / SWEEP, before)
            elif not any(child.is_dir() for child in folder.iterdir()):
                (folder / SWEEP).unlink()
            raise


def discard_refused(folder: Path, created: Sequence[Path]) -> None:
    """Remove what Hydra creates for a sweep before it calls the launcher, if the sweep has not begun.

    Args:
        folder: the folder of the sweep.
        created: the folders that Hydra creates: this one and its parents, the innermost first.
    """
    if not (folder / SWEEP).exists():
        with suppress(OSError):
            (folder / MULTIRUN).unlink(missing_ok=True)
            remove_empty(created)


@contextmanager
def _stop_on_signal(how_to_resume: str) -> Iterator[None]:
    """Raise `Stopped` on the signals that stop a run, unless they are ignored."""

    def stopped(number: signal.Signals) -> Stopped:
        return Stopped(f"stopped by {number.name}; to resume: {how_to_resume}", number)

    not_ignored = [number for number in STOP_SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    try:
        with raise_on_signals(not_ignored, stopped):
            yield
    except KeyboardInterrupt:  # outside of the main thread, handlers cannot be set
        raise stopped(signal.SIGINT) from None


def job_return(job: Job, config: DictConfig, outcome: Outcome | None) -> JobReturn:
    """Return Hydra's record of a job."""
    record = JobReturn(job.overrides, config, config.hydra, str(job.folder))
    if outcome is not None and outcome.value is not None:
        record.status, record.return_value = JobStatus.COMPLETED, outcome.value
    else:
        reason = outcome.error if outcome is not None else "did not finish, because the sweep was stopped"
        record.status, record.return_value = JobStatus.FAILED, TrainingError(f"job {job.number}: {reason}")
    return record
