"""Find the Optuna trial that a run belongs to, so that the run can report metrics and be pruned."""

from pathlib import Path
from typing import TYPE_CHECKING

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from recsys.errors import RunError, first_line
from recsys.runs.folder import MAX_JSON_SIZE, SWEEP
from recsys.runs.outcome import Sweep, read_record
from recsys.runs.trust import Trust, check_trusted
from recsys.runs.walk import walk
from recsys.sweeps.journal import JOURNAL, STUDY, journal_errors, open_storage

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.storages import JournalStorage
    from optuna.study import Study
    from optuna.trial import Trial

MAX_NUMBER = 10**6  # of a pruner's arguments, which are steps or counts


def trial_of(folder: Path, trust: Trust = False) -> "Trial | None":
    """Return the Optuna trial of a run, for reporting and pruning.

    None if the run is not a job of a search, the search has no pruner, the journal has no such trial, or the trial has
    already finished.

    Args:
        folder: the run folder.
        trust: whether sweep.json may name any class as pruner, or which; see `recsys.runs.trust`.

    Raises:
        RunError: sweep.json is missing or invalid, its pruner is not trusted or not a pruner, or the journal is damaged
            or a link.
    """
    journal, sweep_file = folder.parent / JOURNAL, folder.parent / SWEEP
    if not journal.is_file() or not folder.name.isdecimal():
        return None
    import optuna

    options = read_record(sweep_file, Sweep).get("pruner")
    if not options:
        return None
    check_trusted(options, sweep_file, trust)
    pruner = _build_pruner(options, sweep_file)
    with journal_errors(journal):
        storage = open_storage(folder.parent)
        study = optuna.load_study(study_name=STUDY, storage=storage, pruner=pruner)
        number, trials = int(folder.name), study.trials
        if number >= len(trials) or trials[number].state.is_finished():
            return None
        return get_trial(study, storage, number)


def get_trial(study: "Study", storage: "JournalStorage", number: int) -> "Trial":
    """Return the running trial with this number.

    Optuna only creates new `Trial` objects (`study.ask`), so this one is made from the id in the storage.
    """
    from optuna.trial import Trial

    study_id = storage.get_study_id_from_name(study.study_name)
    return Trial(study, storage.get_trial_id_from_study_id_trial_number(study_id, number))


def _build_pruner(options: object, sweep_file: Path) -> "BasePruner":
    """Return the pruner that the record of a sweep describes.

    Raises:
        RunError: it does not describe one.
    """
    from optuna.pruners import BasePruner

    for _, value in walk(options, MAX_JSON_SIZE):
        if isinstance(value, int | float) and abs(value) > MAX_NUMBER:
            raise RunError(f"{sweep_file}: pruner: a number is above {MAX_NUMBER:,}")
    try:
        pruner = instantiate(options)
    except InstantiationException as error:
        raise RunError(f"{sweep_file}: pruner: {first_line(error.__cause__ or error):.200}") from None
    if not isinstance(pruner, BasePruner):
        raise RunError(
            f"{sweep_file}: pruner: _target_ must be a subclass of optuna.pruners.BasePruner, such as "
            "optuna.pruners.MedianPruner; start a new search with another hydra.sweeper.pruner"
        )
    return pruner
