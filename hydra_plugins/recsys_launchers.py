"""The launchers, in the package where Hydra looks for them; they delegate to recsys/sweeps.

Hydra imports this file whenever a command starts, so torch and recsys/sweeps are imported inside the methods.
"""

import weakref
from abc import abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from hydra.core.utils import JobReturn  # the return type of a launcher; Hydra has no other module for it
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from recsys.types import Jobs, NonNegativeFloat, NonNegativeInt, PositiveFloat, Seconds


class JobsLauncher(Launcher):
    """Base class of the launchers of a sweep.

    A new launcher is a subclass that implements `run`. The arguments of its constructor are the keys of its YAML file
    in conf/hydra/launcher/, with annotations that say which values are valid.

    Args:
        options: the keys of the YAML file.
    """

    has_typed_arguments = True  # annotations say which values are valid
    on_this_machine = True  # False: the jobs run on other machines, whose devices are unknown here

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.is_search = (
            False  # set by a sweeper that launches several batches and writes the leaderboard itself
        )

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Check the sweep; Hydra calls this before it creates the folder of the sweep."""
        from recsys.runs.start import missing_folders
        from recsys.sweeps.launcher import check_sweep, discard_refused

        self.context, self.config = hydra_context, config
        check_sweep(config)
        # Hydra creates the folder before it composes the jobs, and a sweep may be refused after that.
        folder = Path(config.hydra.sweep.dir).absolute()
        weakref.finalize(self, discard_refused, folder, missing_folders(folder))

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs of a sweep."""
        from recsys.sweeps.compose import check_plugins
        from recsys.sweeps.launcher import launch

        check_plugins(self.config)
        self.prepare()
        return launch(self.context, self.config, job_overrides, initial_job_idx, self.run, self.is_search)

    def prepare(self) -> None:
        """Start work that runs while the jobs are validated."""

    def batch_size(self) -> int:
        """Return how many jobs a search should launch at a time."""
        return 4

    @abstractmethod
    def run(self, jobs: Sequence[Any], cfg: DictConfig) -> list[Any]:
        """Run jobs, and return their outcomes in the order of `jobs`.

        Use `recsys.sweeps.progress.Progress`: start its unfinished jobs only, and record the `Outcome` of every
        job that has ended. `recsys.sweeps.remote` runs a job on another machine, and has the outcome of a lost one.

        Args:
            jobs: all jobs, as `recsys.sweeps.job.Job`.
            cfg: the configuration of the first one.
        """


class PoolLauncher(JobsLauncher):
    """Run jobs as processes on the GPUs or cores of this machine; see conf/hydra/launcher/pool.yaml."""

    def __init__(
        self,
        jobs_per_gpu: Jobs | None,
        gb_per_job: PositiveFloat,
        jobs: Jobs | None,
        timeout: Seconds | None,
        fail_fast: bool,
    ) -> None:
        super().__init__(
            jobs_per_gpu=jobs_per_gpu, gb_per_job=gb_per_job, jobs=jobs, timeout=timeout, fail_fast=fail_fast
        )

    @cached_property
    def slots(self) -> Sequence[Any]:
        """The slots of this machine, kept from one batch of a search to the next."""
        from recsys.sweeps.pool import slots_of_this_machine

        options = {name: self.options[name] for name in ("jobs_per_gpu", "gb_per_job", "jobs")}
        return slots_of_this_machine(self.config.hardware, **options)

    def prepare(self) -> None:
        """Start the processes that import torch and fork the jobs."""
        with suppress(TypeError, ArithmeticError):  # an invalid hardware.* key is reported by the validation
            for slot in self.slots:
                if slot.server is not None:
                    slot.server.warm_up()

    def batch_size(self) -> int:
        """Return the number of slots."""
        return len(self.slots)

    def run(self, jobs: Sequence[Any], cfg: DictConfig) -> list[Any]:
        """Run jobs on this machine, and return their outcomes."""
        from recsys.sweeps.pool import run_jobs

        return run_jobs(jobs, self.slots, self.options["timeout"], self.options["fail_fast"])


class RayLauncher(JobsLauncher):
    """Run jobs as tasks of a Ray cluster; see conf/hydra/launcher/ray.yaml."""

    on_this_machine = False

    def __init__(
        self,
        address: str | None,
        num_cpus: NonNegativeFloat,
        num_gpus: NonNegativeFloat | None,
        max_retries: NonNegativeInt,
        timeout: Seconds | None,
    ) -> None:
        super().__init__(
            address=address, num_cpus=num_cpus, num_gpus=num_gpus, max_retries=max_retries, timeout=timeout
        )

    def run(self, jobs: Sequence[Any], cfg: DictConfig) -> list[Any]:
        """Run jobs on the cluster, and return their outcomes."""
        from recsys.sweeps.ray import run_jobs

        return run_jobs(jobs, cfg.hardware, **self.options)


class SlurmLauncher(JobsLauncher):
    """Run jobs as jobs of Slurm; see conf/hydra/launcher/slurm.yaml."""

    on_this_machine = False

    def __init__(
        self,
        cluster: Literal["slurm", "local"],
        poll_seconds: Seconds,
        timeout: Seconds | None,
        gpus_per_node: NonNegativeInt | None,
        **parameters: Any,
    ) -> None:
        super().__init__(
            cluster=cluster,
            poll_seconds=poll_seconds,
            timeout=timeout,
            gpus_per_node=gpus_per_node,
            **parameters,
        )

    def run(self, jobs: Sequence[Any], cfg: DictConfig) -> list[Any]:
        """Submit jobs to the queue, wait, and return their outcomes."""
        from recsys.sweeps.slurm import run_jobs

        return run_jobs(jobs, cfg.hardware, **self.options)
