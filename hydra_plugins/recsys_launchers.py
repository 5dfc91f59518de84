"""Where Hydra looks for launchers; the work is in recsys/sweeps."""

from abc import abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any, Literal

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from recsys.types import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt


class JobsLauncher(Launcher):
    """What the launchers below share: the keys of their YAML become `self.options`."""

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.reports = True  # a sweeper that launches many times over reports for itself

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Hydra's own hand-over."""
        self.context, self.config = hydra_context, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs of a sweep."""
        from recsys.sweeps.launcher import launch

        self.prepare()
        return launch(self.context, self.config, job_overrides, initial_job_idx, self.run, self.reports)

    def prepare(self) -> None:
        """Begin what may go on while the jobs are validated."""

    def at_once(self) -> int:
        """How many jobs a search should ask for at a time."""
        return 4

    @abstractmethod
    def run(self, jobs: Sequence[Any], cfg: DictConfig) -> list[Any]:
        """From jobs to outcomes."""


class PoolLauncher(JobsLauncher):
    """One process per job, over the GPUs or cores of this machine; see conf/hydra/launcher/pool.yaml."""

    def __init__(
        self,
        jobs_per_gpu: PositiveInt,
        jobs: PositiveInt | None,
        timeout: PositiveFloat | None,
        fail_fast: bool,
    ) -> None:
        super().__init__(jobs_per_gpu=jobs_per_gpu, jobs=jobs, timeout=timeout, fail_fast=fail_fast)

    @cached_property
    def slots(self) -> Sequence[Any]:
        """Kept from one batch of a search to the next."""
        from recsys.sweeps.pool import slots_of_this_machine

        hardware, options = self.config.hardware, self.options
        return slots_of_this_machine(hardware, options["jobs_per_gpu"], options["jobs"])

    def prepare(self) -> None:
        """Let torch be imported where jobs will be forked."""
        with suppress(TypeError, ArithmeticError):  # the hardware is mistyped; validation says so
            for slot in self.slots:
                if slot.server is not None:
                    slot.server.warm_up()

    def at_once(self) -> int:
        """As many as there are slots."""
        return len(self.slots)

    def run(self, jobs: Sequence[Any], cfg: DictConfig) -> list[Any]:
        """On this machine."""
        from recsys.sweeps.pool import run_jobs

        return run_jobs(jobs, self.slots, self.options["timeout"], self.options["fail_fast"])


class RayLauncher(JobsLauncher):
    """Jobs as tasks of a Ray cluster; see conf/hydra/launcher/ray.yaml."""

    def __init__(
        self,
        address: str | None,
        num_cpus: NonNegativeFloat,
        num_gpus: NonNegativeFloat,
        max_retries: NonNegativeInt,
        timeout: PositiveFloat | None,
    ) -> None:
        super().__init__(
            address=address, num_cpus=num_cpus, num_gpus=num_gpus, max_retries=max_retries, timeout=timeout
        )

    def run(self, jobs: Sequence[Any], cfg: DictConfig) -> list[Any]:
        """On the cluster."""
        from recsys.sweeps.ray import run_jobs

        return run_jobs(jobs, **self.options)


class SlurmLauncher(JobsLauncher):
    """Jobs as jobs of Slurm; see conf/hydra/launcher/slurm.yaml."""

    def __init__(
        self,
        cluster: Literal["slurm", "local"],
        poll_seconds: PositiveFloat,
        timeout: PositiveFloat | None,
        **parameters: Any,
    ) -> None:
        super().__init__(cluster=cluster, poll_seconds=poll_seconds, timeout=timeout, **parameters)

    def run(self, jobs: Sequence[Any], cfg: DictConfig) -> list[Any]:
        """In the queue."""
        from recsys.sweeps.slurm import run_jobs

        return run_jobs(jobs, cfg.hardware, **self.options)
