"""Hyperparameter search with Optuna: ask for a batch of trials, run them as jobs, tell their results, repeat.

The study is a journal file in the sweep's folder. Job k is trial k: a job finds its trial by the name of its folder,
so it can report values and be pruned under every launcher.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from recsys.errors import ConfigError, TrainingError
from recsys.runs.folder import FAILED, RESULT, read_json
from recsys.runs.record import START_KEYS
from recsys.sweeps.job import value_in
from recsys.sweeps.journal import JOURNAL, STUDY, journal_errors, open_storage, repair
from recsys.sweeps.trial import get_trial

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import FrozenTrial

log = logging.getLogger(__name__)

INTERRUPTED = "interrupted"  # attribute of a trial without a result: it does not count as one of n_trials
Launch = Callable[[list[list[str]], int], Any]


def search(
    folder: Path,
    overrides: Sequence[Override],
    options: DictConfig,
    batch: int,
    launch: Launch,
    fail_fast: bool = False,
) -> None:
    """Run trials until the study has `options.n_trials`, including those of an earlier start in the same folder.

    Args:
        folder: the folder of the sweep.
        overrides: the search space, and the overrides that all trials have in common.
        options: n_trials and sampler of hydra.sweeper.
        batch: number of trials to ask for at a time.
        launch: runs jobs, given their overrides and the number of the first.
        fail_fast: whether the first failed trial ends the search.

    Raises:
        ConfigError: an earlier start in this folder had another search space or other common overrides.
        TrainingError: no trial completed, a trial failed (with `fail_fast`), or a whole batch was interrupted.
    """
    from optuna.trial import TrialState

    space, common = split_space(overrides)
    study = open_study(folder, options)
    searched = {"space": {key: repr(values) for key, values in space.items()}, "common": sorted(common)}
    names = {"space": "search space", "common": "common overrides"}
    for name, now in searched.items():
        if (before := study.user_attrs.get(name, now)) != now:
            raise ConfigError(
                f"sweep.resume={folder}: this search has the {names[name]} {before}, not {now}; "
                "repeat the command that started it"
            )
        study.set_user_attr(name, now)
    tell_results(study, folder)
    how = f"to continue the search, repeat the command with sweep.resume={folder}"
    counted = _counted(study)
    while len(counted) < options.n_trials:
        asked = [study.ask(space) for _ in range(min(batch, options.n_trials - len(counted)))]
        launch([[*_as_overrides(trial.params), *common] for trial in asked], asked[0].number)
        tell_results(study, folder)
        counted = _counted(study)
        if study.get_trials(deepcopy=False, states=[TrialState.COMPLETE]):
            best = study.best_trial
            log.info(
                "%d of %d trials, best %.4f (job %d)",
                len(counted),
                options.n_trials,
                abs(best.value or 0.0),  # the value is negative if higher is better
                best.number,
            )
        ended = [trial for trial in counted if trial.number >= asked[0].number]
        failed = [trial.number for trial in ended if trial.state is TrialState.FAIL]
        if fail_fast and failed:
            raise TrainingError(f"job {failed[0]} failed (hydra.launcher.fail_fast=true); {how}")
        if not ended:
            raise TrainingError(f"jobs {asked[0].number} to {asked[-1].number} were interrupted; {how}")
    if not study.get_trials(deepcopy=False, states=[TrialState.COMPLETE]):
        raise TrainingError(f"none of {len(study.trials)} trials completed; see {folder}/*/{FAILED}")


def split_space(overrides: Sequence[Override]) -> tuple[dict[str, "BaseDistribution"], list[str]]:
    """Split overrides into the search space as Optuna's distributions, and the overrides with one value.

    The values of a list, choice(...) or range are categories without an order. interval(a, b) is uniform,
    int(interval(a, b)) has whole numbers, and tag(log, interval(a, b)) a log scale. The last override of a key wins.

    Raises:
        ConfigError: no key has several values, or an interval is invalid.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    last = {override.get_key_element(): override for override in overrides}
    space: dict[str, BaseDistribution] = {}
    for key, override in last.items():
        if isinstance(interval := override.value(), IntervalSweep):
            low, high, is_log = interval.start, interval.end, "log" in interval.tags
            try:
                # Hydra converts the ends of int(interval(...)) to int, those of interval(...) to float.
                if isinstance(low, int) and isinstance(high, int):
                    space[key] = IntDistribution(low, high, log=is_log)
                else:
                    space[key] = FloatDistribution(float(low or 0), float(high or 0), log=is_log)
            except ValueError as error:
                raise ConfigError(f"{override.input_line}: {error}") from None
        elif override.is_sweep_override():
            space[key] = CategoricalDistribution(list(override.sweep_string_iterator()))
    if not space:
        raise ConfigError("hydra/sweeper=optuna: nothing to search; give a key several values or an interval")
    not_common = {*space, *START_KEYS}
    common = [
        f"{key}={override.get_value_element_as_str()}"
        for key, override in last.items()
        if key not in not_common
    ]
    return space, common


def probes(overrides: Sequence[Override]) -> list[list[str]]:
    """Return jobs that together have every value of each list and both ends of each interval.

    If all of them are valid, so is every trial, unless only a combination of values is invalid.
    """
    space, common = split_space(overrides)
    values = {key: _values_to_check(distribution) for key, distribution in space.items()}
    n_jobs = max(map(len, values.values()))
    jobs = [{key: own[number % len(own)] for key, own in values.items()} for number in range(n_jobs)]
    return [[*_as_overrides(job), *common] for job in jobs]


def check_comparable(configs: Sequence[DictConfig]) -> None:
    """Check that trials with these configurations have the same objective on the same validation set.

    Raises:
        ConfigError: the data, the split or the objective differs.
    """
    from recsys.training.build import build_loss
    from recsys.training.objective import build_metrics, build_objective

    compared: dict[str, list[Any]] = {"data": [], "split": [], "loss, ranking or objective": []}
    for cfg in configs:
        loss, ranking = build_loss(cfg), OmegaConf.to_container(cfg.ranking)
        compared["data"].append(OmegaConf.to_container(cfg.data, resolve=True))
        compared["split"].append(OmegaConf.to_container(cfg.split, resolve=True))
        added = build_metrics(cfg)
        objective = build_objective(cfg, loss, added)
        own = OmegaConf.to_container(cfg.metrics, resolve=True) if cfg.objective is not None else None
        compared["loss, ranking or objective"].append(
            (objective, None if added.is_rating(objective.name) else ranking, own)
        )
    for name, found in compared.items():
        if any(one != found[0] for one in found):
            raise ConfigError(
                f"hydra/sweeper=optuna: the search space changes the {name}, so its trials cannot be compared; run "
                "one search for each value, or a grid without hydra/sweeper=optuna"
            )


def open_study(folder: Path, options: DictConfig) -> "Study":
    """Return the study in a sweep's folder; create it if there is none.

    Raises:
        RunError: the journal of the study is damaged.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    is_resumed = (folder / JOURNAL).exists()
    if is_resumed:
        repair(folder / JOURNAL)
    sampler = instantiate(options.sampler)
    with journal_errors(folder / JOURNAL):
        study = optuna.create_study(
            storage=open_storage(folder),
            study_name=STUDY,
            direction="minimize",
            sampler=sampler,
            load_if_exists=True,
        )
        study.get_trials(deepcopy=False)
    if is_resumed:  # the seeded sampler would repeat its first draws
        study.sampler.reseed_rng()
    return study


def tell_results(study: "Study", folder: Path) -> None:
    """Tell the study the results of its running trials, from the folders of their jobs."""
    from optuna.trial import TrialState

    for trial in study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
        job = folder / str(trial.number)
        if (job / RESULT).is_file():
            study.tell(trial.number, value_in(job))
        elif (job / FAILED).is_file() and read_json(job / FAILED).get("status") == "pruned":
            study.tell(trial.number, state=TrialState.PRUNED)
        else:
            if not (job / FAILED).is_file():
                get_trial(study, open_storage(folder), trial.number).set_user_attr(INTERRUPTED, True)
            study.tell(trial.number, state=TrialState.FAIL)


def _counted(study: "Study") -> list["FrozenTrial"]:
    """Return the trials that count as one of n_trials: all but interrupted ones."""
    return [trial for trial in study.get_trials(deepcopy=False) if INTERRUPTED not in trial.user_attrs]


def _as_overrides(values: Mapping[str, Any]) -> list[str]:
    """Return overrides as typed on a command line.

    A run gets floats with four significant digits; Optuna keeps the exact value.
    """
    return [f"{key}={f'{value:.4g}' if isinstance(value, float) else value}" for key, value in values.items()]


def _values_to_check(distribution: Any) -> Sequence[Any]:
    """Return the values of a list, or the ends of an interval."""
    choices = getattr(distribution, "choices", None)
    return choices if choices is not None else (distribution.low, distribution.high)
