"""The journal of a search: the file in the folder of a sweep in which Optuna keeps the trials."""

import json
import logging
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
STUDY = JOURNAL  # a study needs a name; each journal has one study
CREATE_STUDY = 0  # the op_code of the first record


def open_storage(folder: Path) -> "JournalStorage":
    """Return the storage in the folder of a sweep; the journal is created if there is none.

    Raises:
        RunError: the journal is a link, so Optuna would write to another file.
    """
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    check_no_link(folder / JOURNAL)
    return JournalStorage(JournalFileBackend(str(folder / JOURNAL)))


@contextmanager
def errors_of(journal: Path) -> Iterator[None]:
    """Name the journal in the errors that Optuna raises for damaged records, which are of many types."""
    try:
        yield
    except (UserError, OSError, MemoryError):
        raise
    except Exception as error:
        raise RunError(
            f"{journal}: damaged ({type(error).__name__}: {first_line(error):.200}), so the search cannot be resumed; "
            "start a new one"
        ) from None


def repair(journal: Path) -> None:
    """Remove an incomplete last line, which a full disk or a power failure leaves behind.

    Optuna would append the next record to it. Only that record is lost: results are read from the folders of jobs.

    Raises:
        RunError: another line is damaged, or the first one is missing.
    """
    *lines, rest = journal.read_bytes().split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not _is_record(line):
            raise RunError(
                f"{journal}:{number}: {shortened(line.decode(errors='replace'))} is not a record of Optuna, so the "
                "search cannot be resumed; start a new one"
            )
    if lines and json.loads(lines[0]).get("op_code") != CREATE_STUDY:
        raise RunError(
            f"{journal}:1: {shortened(lines[0].decode())} does not create a study: the first line is missing, so the "
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
