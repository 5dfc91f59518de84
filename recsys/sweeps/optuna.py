"""Search by Optuna: ask for a few trials, launch them as jobs, tell what came of them, ask again.

The study is a journal in the sweep's folder. Job k is trial k: a job finds its trial by the folder it runs
in, so that it can report to it and be pruned under every launcher.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.utils import instantiate
from omegaconf import DictConfig

from recsys.errors import ConfigError, TrainingError
from recsys.evaluation.objective import to_minimise
from recsys.runs.folder import FAILED, RESULT, SWEEP, read_json

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

log = logging.getLogger(__name__)

JOURNAL = "optuna.journal"
Launch = Callable[[list[list[str]], int], Any]


def search(
    folder: Path, overrides: Sequence[Override], options: DictConfig, batch: int, launch: Launch
) -> None:
    """Run trials until there are `options.n_trials`, counting those of an earlier start in the same folder.

    Args:
        folder: of the sweep.
        overrides: what varies, and what every trial has in common.
        options: hydra.sweeper: n_trials, sampler, pruner.
        batch: how many trials to ask for at a time.
        launch: runs jobs, given their overrides and the number of the first.

    Raises:
        ConfigError: an earlier start in this folder searched something else.
        TrainingError: no trial came to a result.
    """
    from optuna.trial import TrialState

    space, common = split_space(overrides)
    study = open_study(folder, options)
    asked = {"space": {key: repr(values) for key, values in space.items()}, "common": sorted(common)}
    for name, now in asked.items():
        if (then := study.user_attrs.get(name, now)) != now:
            raise ConfigError(f"sweep.resume={folder}: it searched another {name} ({then}), not {now}")
        study.set_user_attr(name, now)
    settle(study, folder)
    counted = [trial for trial in study.trials if "interrupted" not in trial.user_attrs]
    for start in range(len(counted), options.n_trials, batch):
        trials = [study.ask(space) for _ in range(min(batch, options.n_trials - start))]
        launch([[*_words(trial.params), *common] for trial in trials], trials[0].number)
        settle(study, folder)
        if study.get_trials(deepcopy=False, states=[TrialState.COMPLETE]):
            best = study.best_trial
            log.info(
                "%d of %d trials, best %.4f (job %d)",
                start + len(trials),
                options.n_trials,
                abs(best.value or 0.0),  # of what more is better, it is told negated
                best.number,
            )
    if not study.get_trials(deepcopy=False, states=[TrialState.COMPLETE]):
        raise TrainingError(f"none of {len(study.trials)} trials came to a result; see {folder}/*/{FAILED}")


def split_space(overrides: Sequence[Override]) -> tuple[dict[str, "BaseDistribution"], list[str]]:
    """Hydra's words for what varies as Optuna's distributions, and the words that vary nothing.

    A list or choice(...) and a range are tried value by value, without an order; int(interval(a, b)) draws
    whole numbers, and tag(log, interval(a, b)) by equal factors. A later word for a key wins.

    Raises:
        ConfigError: nothing varies, an interval is none, or trials would not be chosen by the same value.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    last = {override.get_key_element(): override for override in overrides}
    space: dict[str, BaseDistribution] = {}
    for key, override in last.items():
        if isinstance(interval := override.value(), IntervalSweep):
            low, high, by_factors = interval.start, interval.end, "log" in interval.tags
            try:
                if isinstance(low, int) and isinstance(high, int):
                    space[key] = IntDistribution(low, high, log=by_factors)
                else:
                    space[key] = FloatDistribution(float(low or 0), float(high or 0), log=by_factors)
            except ValueError as problem:
                raise ConfigError(f"{override.input_line}: {problem}") from None
        elif override.is_sweep_override():
            space[key] = CategoricalDistribution(list(override.sweep_string_iterator()))
    if not space:
        raise ConfigError("hydra/sweeper=optuna: nothing to search; give a key several values or an interval")
    for key in space:
        if key == "loss" or key.startswith("ranking."):
            raise ConfigError(
                f"{last[key].input_line}: it changes what trials are chosen by; search for each on its own, "
                "or compare them in a grid (without hydra/sweeper=optuna)"
            )
    apart = {*space, "sweep.resume", "output_dir"}
    common = [f"{key}={word.get_value_element_as_str()}" for key, word in last.items() if key not in apart]
    return space, common


def probes(overrides: Sequence[Override]) -> list[list[str]]:
    """Jobs that together have every value of a list and both ends of an interval: sound, if the space is."""
    space, common = split_space(overrides)
    values = {key: _corners(distribution) for key, distribution in space.items()}
    longest = max(map(len, values.values()))
    chosen = [{key: some[number % len(some)] for key, some in values.items()} for number in range(longest)]
    return [[*_words(values), *common] for values in chosen]


def open_study(folder: Path, options: DictConfig) -> "Study":
    """The study in a sweep's folder; a new one where there is none."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    is_new = not (folder / JOURNAL).exists()
    study = optuna.create_study(
        storage=_storage(folder),
        study_name=JOURNAL,
        sampler=instantiate(options.sampler),
        load_if_exists=True,
    )
    if not is_new:  # the seed's first draws have been tried
        study.sampler.reseed_rng()
    return study


def settle(study: "Study", folder: Path) -> None:
    """Tell the study what its unfinished trials came to, from their folders."""
    from optuna.trial import TrialState

    for trial in study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
        job = folder / str(trial.number)
        if (job / RESULT).is_file():
            study.tell(trial.number, to_minimise(read_json(job / RESULT)["objective"]))
        elif (job / FAILED).is_file() and read_json(job / FAILED)["status"] == "pruned":
            study.tell(trial.number, state=TrialState.PRUNED)
        else:
            if not (job / FAILED).is_file():  # it was never given the time
                _live(study, trial).set_user_attr("interrupted", True)
            study.tell(trial.number, state=TrialState.FAIL)


def trial_of(folder: Path) -> "Trial | None":
    """The trial that a run in this folder is; None: it belongs to no search, or has been given up by it."""
    if not (folder.parent / JOURNAL).is_file():
        return None
    import optuna

    options = read_json(folder.parent / SWEEP).get("pruner")
    if not options:
        return None
    pruner = instantiate(options)
    study = optuna.load_study(study_name=JOURNAL, storage=_storage(folder.parent), pruner=pruner)
    trial = study.trials[int(folder.name)]
    return None if trial.state.is_finished() else _live(study, trial)


def _storage(folder: Path) -> Any:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return JournalStorage(JournalFileBackend(str(folder / JOURNAL)))


def _live(study: "Study", trial: "FrozenTrial") -> "Trial":
    """A trial that another process asked for, to report to: Optuna's own way between processes."""
    from optuna.trial import Trial

    return Trial(study, trial._trial_id)


def _words(values: Mapping[str, Any]) -> list[str]:
    """As typed on a command line; four digits say enough, and are what the run has."""
    return [f"{key}={f'{value:.4g}' if isinstance(value, float) else value}" for key, value in values.items()]


def _corners(distribution: Any) -> Sequence[Any]:
    choices = getattr(distribution, "choices", None)
    return choices if choices is not None else (distribution.low, distribution.high)
