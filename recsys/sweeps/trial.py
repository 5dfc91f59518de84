"""The trial of a search that a run is, so that the run can report values and be pruned."""

from pathlib import Path
from typing import TYPE_CHECKING

from hydra.utils import instantiate

from recsys.errors import RunError
from recsys.runs.folder import SWEEP
from recsys.runs.outcome import Sweep, read_record
from recsys.runs.trust import Trust, check_trusted
from recsys.sweeps.journal import JOURNAL, STUDY, errors_of, open_storage

if TYPE_CHECKING:
    from optuna.storages import JournalStorage
    from optuna.study import Study
    from optuna.trial import Trial


def trial_of(folder: Path, trust: Trust = False) -> "Trial | None":
    """Return the trial of a run folder, for pruning.

    None if the run is not a job of a search, the search has no pruner, or the trial has ended.

    Args:
        folder: the run folder.
        trust: whether the pruner that the folder of the sweep names may be any code; see `recsys.runs.trust`.

    Raises:
        RunError: the pruner is not trusted or is none, or the journal of the search is damaged or a link.
    """
    journal, record = folder.parent / JOURNAL, folder.parent / SWEEP
    if not journal.is_file() or not folder.name.isdecimal():
        return None
    import optuna

    options = read_record(record, Sweep).get("pruner")
    if not options:
        return None
    check_trusted(options, record, trust)
    pruner = instantiate(options)
    if not isinstance(pruner, optuna.pruners.BasePruner):
        raise RunError(
            f"{record}: pruner: must have a _target_ that is a pruner of Optuna; start a new search"
        )
    with errors_of(journal):
        storage = open_storage(folder.parent)
        study = optuna.load_study(study_name=STUDY, storage=storage, pruner=pruner)
        number, trials = int(folder.name), study.trials
        if number >= len(trials) or trials[number].state.is_finished():
            return None
        return trial_numbered(study, storage, number)


def trial_numbered(study: "Study", storage: "JournalStorage", number: int) -> "Trial":
    """Return a trial that another process asked for. The study has no method for it, but the storage knows its id."""
    from optuna.trial import Trial

    study_id = storage.get_study_id_from_name(study.study_name)
    return Trial(study, storage.get_trial_id_from_study_id_trial_number(study_id, number))
