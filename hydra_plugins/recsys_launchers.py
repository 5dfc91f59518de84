"""Where Hydra looks for launchers; the work is in recsys/sweeps."""

from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class PoolLauncher(Launcher):
    """One process per job, over the GPUs or cores of this machine; see conf/hydra/launcher/pool.yaml."""

    def __init__(self, jobs_per_gpu: int, jobs: int | None, timeout: float | None, fail_fast: bool) -> None:
        self.jobs_per_gpu, self.jobs, self.timeout, self.fail_fast = jobs_per_gpu, jobs, timeout, fail_fast

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Hydra's own hand-over."""
        self.context, self.config = hydra_context, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs of a sweep."""
        from recsys.sweeps.launcher import launch
        from recsys.sweeps.pool import make_slots, run_jobs, visible_gpus

        def run(jobs: Sequence[Any], cfg: DictConfig) -> list[Any]:
            on_gpu = cfg.hardware.accelerator in ("auto", "gpu") and bool(visible_gpus())
            slots = make_slots(cfg.hardware.devices, on_gpu, self.jobs_per_gpu, self.jobs)
            return run_jobs(jobs, slots, self.timeout, self.fail_fast)

        return launch(self.context, self.config, job_overrides, initial_job_idx, run)
