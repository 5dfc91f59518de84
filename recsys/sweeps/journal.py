"""The journal of a search: the file in the folder of a sweep in which Optuna keeps the trials."""

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from recsys.errors import RunError, shortened

if TYPE_CHECKING:
    from optuna.storages import JournalStorage

log = logging.getLogger(__name__)

JOURNAL = "optuna.journal"


def open_storage(folder: Path) -> "JournalStorage":
    """Return the storage in the folder of a sweep; the journal is created if there is none."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return JournalStorage(JournalFileBackend(str(folder / JOURNAL)))


def repair(journal: Path) -> None:
    """Remove an incomplete last line, which a full disk or a power failure leaves behind.

    Optuna would append the next record to it. Only that record is lost: results are read from the folders of jobs.

    Raises:
        RunError: another line is damaged.
    """
    *lines, rest = journal.read_bytes().split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not _is_record(line):
            raise RunError(
                f"{journal}:{number}: {shortened(line.decode(errors='replace'))} is not a record of Optuna, so the "
                "search cannot be resumed; start a new one"
            )
    if rest:
        log.warning("%s: the last line is incomplete and was removed", journal)
        with journal.open("r+b") as file:
            file.truncate(journal.stat().st_size - len(rest))


def _is_record(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
