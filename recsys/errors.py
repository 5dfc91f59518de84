"""Errors that a user can fix. Each message names what is wrong, its value, and what to do next."""

from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """A mistake that the user can fix; the command line shows it without a traceback."""


class ConfigError(UserError):
    """Invalid or contradicting configuration values."""


class DataError(UserError):
    """Data that cannot be read, or cannot be used as requested."""


class DownloadError(UserError):
    """No mirror returned a usable archive."""


class UnknownIdError(UserError):
    """A raw user or item id that is not in the training data."""


class RunError(UserError):
    """A run folder that is missing, unfinished or unreadable."""


class TrainingError(UserError):
    """Training cannot continue, for example because the loss is not finite."""


class Stopped(UserError):
    """A signal stopped a run or a sweep, which can be resumed.

    Args:
        message: how to resume.
        number: number of the signal.
    """

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.number = number


class Pruned(Exception):
    """A hyperparameter search stopped this trial early. It is not an error of the user."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the name of its class if it has no message."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def named_line(error: BaseException) -> str:
    """Return the class of an error and the first line of its message, as Python prints them."""
    return f"{type(error).__name__}: {error}".splitlines()[0]


@contextmanager
def refusals_of(place: str, way_out: str = "") -> Iterator[None]:
    """Convert an OSError inside the block to a DataError.

    Args:
        place: key and value that the error is about; the message begins with it.
        way_out: what to do next; the message ends with it.

    Raises:
        DataError: with the reason of the operating system.
    """
    try:
        yield
    except OSError as error:
        raise DataError(f"{place}: {error.strerror or error}{way_out}") from None
