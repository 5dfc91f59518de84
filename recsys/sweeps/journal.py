"""The journal file of a hyperparameter search: optuna.journal in the sweep's folder, where Optuna stores the trials."""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from recsys.errors import RunError, UserError, first_line, shortened
from recsys.runs.entries import check_no_link

if TYPE_CHECKING:
    from optuna.storages import JournalStorage

log = logging.getLogger(__name__)

JOURNAL = "optuna.journal"
STUDY = JOURNAL  # the name of the study; a journal contains exactly one
CREATE_STUDY = 0  # Optuna's op_code for creating a study, which must be the first record
NEW_SEARCH = "so the search cannot be resumed; start a new search without sweep.resume"


def open_storage(folder: Path) -> "JournalStorage":
    """Return Optuna's storage for a sweep's folder; create the journal if it does not exist.

    Raises:
        RunError: the journal is a symbolic or hard link, so Optuna would also write to another file; or the lock is not
            a symbolic link.
    """
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    check_no_link(folder / JOURNAL)
    _remove_stale_lock(folder / JOURNAL)
    return JournalStorage(JournalFileBackend(str(folder / JOURNAL)))


def _remove_stale_lock(journal: Path) -> None:
    """Remove a lock that leads to another file: that of a killed process in a folder that was moved since.

    Optuna's lock is a symbolic link to the journal with an absolute path. For one without a target, Optuna would wait
    forever.

    Raises:
        RunError: the lock is a file or a folder, which Optuna has not created.
    """
    lock = journal.with_name(f"{journal.name}.lock")
    try:
        target = os.readlink(lock)  # read once: another process may remove its own lock at any moment
    except FileNotFoundError:
        return
    except OSError:  # Optuna would wait for half a minute
        raise RunError(
            f"{lock}: must be a symbolic link, the lock of Optuna, but is not; delete it"
        ) from None
    if os.path.realpath(lock.parent / target) != os.path.realpath(journal):
        log.warning("%s: removed a lock that leads to another folder (%s)", lock, shortened(target))
        lock.unlink(missing_ok=True)


@contextmanager
def journal_errors(journal: Path) -> Iterator[None]:
    """Convert Optuna's exceptions to a RunError that names the journal.

    For invalid records, Optuna raises many types, such as KeyError and ValueError. UserError, OSError and MemoryError
    pass through.

    Raises:
        RunError: Optuna raised an exception.
    """
    try:
        yield
    except (UserError, OSError, MemoryError):
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {first_line(error):.200}"
        raise RunError(f"{journal}: Optuna cannot read it ({reason}), {NEW_SEARCH}") from None


def repair(journal: Path) -> None:
    """Remove an incomplete last line, as left by a full disk or a power failure.

    Otherwise, Optuna would append the next record to this line. Only the incomplete record is lost; the results of
    trials are read from the job folders.

    Raises:
        RunError: another line is not a valid record, the first record does not create a study, or the journal is a link
            or not a regular file.
    """
    check_no_link(journal)
    if not journal.is_file():
        raise RunError(f"{journal}: is not a regular file, {NEW_SEARCH}")
    data = journal.read_bytes()
    *lines, incomplete = data.split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not _is_record(line):
            shown = shortened(line.decode(errors="replace"))
            raise RunError(
                f"{journal}:{number}: {shown} is not a record of Optuna (a JSON object), {NEW_SEARCH}"
            )
    if lines and json.loads(lines[0]).get("op_code") != CREATE_STUDY:
        shown = shortened(lines[0].decode(errors="replace"))
        raise RunError(
            f"{journal}:1: must create a study, but is {shown}: the start of the file is missing, {NEW_SEARCH}"
        )
    if incomplete:
        with journal.open("r+b") as file:
            file.truncate(len(data) - len(incomplete))
        log.warning("%s: the last line was incomplete and was removed", journal)


def _is_record(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
