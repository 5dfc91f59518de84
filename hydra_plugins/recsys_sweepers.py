"""The Optuna sweeper, where Hydra looks for sweepers; it delegates to recsys/sweeps."""

import logging
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.recsys_launchers import JobsLauncher
from recsys.types import PositiveInt

log = logging.getLogger(__name__)


class OptunaSweeper(Sweeper):
    """Search with Optuna instead of running a grid; see conf/hydra/sweeper/optuna.yaml."""

    has_typed_arguments = True  # annotations say which values are valid

    def __init__(
        self,
        params: dict[str, Any],
        n_trials: PositiveInt,
        batch: PositiveInt | None,
        sampler: dict[str, Any],
        pruner: dict[str, Any] | None,
    ) -> None:
        # Jobs find the pruner in sweep.json, where `hold_sweep` writes it.
        self.params, self.batch = params, batch
        self.options = OmegaConf.create({"n_trials": n_trials, "sampler": sampler})

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Create the launcher."""
        self.hydra_context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: Sequence[str]) -> None:
        """Run the search."""
        from recsys.errors import ConfigError
        from recsys.runs.folder import MULTIRUN
        from recsys.sweeps.compose import check_plugins, compose_jobs
        from recsys.sweeps.finish import write_leaderboard
        from recsys.sweeps.launcher import hold_sweep
        from recsys.sweeps.optuna import check_comparable, probes, search

        if find_spec("optuna") is None:
            raise ConfigError("hydra/sweeper=optuna needs Optuna: pip install optuna")
        context, config, launcher = self.hydra_context, self.config, self.launcher
        assert context is not None
        assert config is not None
        assert launcher is not None
        check_plugins(config)
        typed = [*(f"{key}={value}" for key, value in self.params.items()), *arguments]
        overrides = OverridesParser.create(config_loader=context.config_loader).parse_overrides(typed)
        jobs = compose_jobs(context, config, probes(overrides))
        check_comparable(jobs)
        folder = Path(config.hydra.sweep.dir).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        at_once, fail_fast = 1, False
        if isinstance(launcher, JobsLauncher):
            at_once, launcher.is_search = launcher.batch_size(), True
            fail_fast = launcher.options.get("fail_fast", False)
        with hold_sweep(config):
            OmegaConf.save(config, folder / MULTIRUN)
            log.info("%d trials in %s", self.options.n_trials, folder)
            try:
                search(folder, overrides, self.options, self.batch or at_once, launcher.launch, fail_fast)
            finally:
                write_leaderboard(folder, jobs[0])
