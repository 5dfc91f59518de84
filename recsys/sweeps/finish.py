"""What follows the jobs of a sweep: the average of its runs, and its leaderboard."""

import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

from recsys.errors import RunError, UserError
from recsys.experiment.average import average, members_in
from recsys.leaderboard.report import compare
from recsys.runs.folder import RESULT
from recsys.runs.trust import targets
from recsys.sweeps.job import Outcome
from recsys.terminal import print_line

AVERAGE = "average"  # the folder, in that of the sweep, of the average of its runs
UNFINISHED_AVERAGE = ".average.unfinished"  # its name until it is finished

log = logging.getLogger(__name__)


def average_runs(folder: Path, outcomes: Sequence[Outcome], config: DictConfig) -> None:
    """Average the runs of a sweep into a run in its folder; if that is not possible, log why.

    Args:
        folder: the folder of the sweep.
        outcomes: those of its jobs.
        config: the configuration of a job.
    """
    target, unfinished = folder / AVERAGE, folder / UNFINISHED_AVERAGE
    if (target / RESULT).is_file():  # of a sweep that was resumed
        return
    if os.path.lexists(target):
        log.warning("not averaged: %s exists, and is not an average; rename it", target)
        return
    if any(outcome.value is None for outcome in outcomes):
        log.warning("not averaged, because not all jobs have finished: sweep.resume=%s", folder)
        return
    from recsys.models.device import device_of
    from recsys.runs.network import class_path

    # Jobs on other machines may have devices that this one lacks.
    device = device_of("cpu" if config.hardware.accelerator == "cpu" else "auto")
    own = {key: value for key, value in OmegaConf.to_container(config).items() if key != "hydra"}  # type: ignore[union-attr]
    # What the user names on this command line is trusted, and a package may give its class a shorter name.
    trusted = targets(own) | {class_path(get_class(config.model._target_))}
    try:
        if unfinished.is_dir() and not unfinished.is_symlink():  # of a process that was killed
            shutil.rmtree(unfinished)
        average(members_in(folder), unfinished, [f"dir={folder}"], trusted, device)
        unfinished.rename(target)
    except UserError as error:
        log.warning("not averaged: %s", error)


def write_leaderboard(folder: Path, job: DictConfig) -> None:
    """Print the leaderboard of a sweep and where its runs are tracked; write the leaderboard as a page into its folder.

    Args:
        folder: the folder of the sweep.
        job: the configuration of a job, with its loggers.
    """
    from recsys.training.trackers.nodes import watch_commands  # imports Lightning

    try:
        compare([folder], page=folder / "leaderboard.html")
    except RunError as error:  # for example, jobs with different data have no common ranking
        log.warning("no leaderboard: %s", error)
        return
    plain = OmegaConf.masked_copy(job, [str(key) for key in job if key != "hydra"])
    for command in watch_commands(plain, folder / "*"):
        print_line(f"watch: {command}")
