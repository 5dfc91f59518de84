"""What can go wrong by a user's hand; each message names the thing at fault, its value and the way out."""

from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """A mistake that the user can mend: shown as it stands, without a traceback."""


class ConfigError(UserError):
    """Values in the configuration that cannot work."""


class DataError(UserError):
    """Data that cannot be read, or cannot be used as asked."""


class DownloadError(UserError):
    """No mirror gave a usable archive."""


class UnknownIdError(UserError):
    """A raw user or item id that the model has never seen."""


class RunError(UserError):
    """A run folder that is not there, not finished, or not readable."""


class TrainingError(UserError):
    """Training went wrong in a way that no later step can mend, such as a loss that is not finite."""


class Pruned(UserError):
    """A search gave the run up; no mistake of anybody."""


class Stopped(UserError):
    """A signal ended the run, which can go on.

    Args:
        message: says how.
        number: the signal's.
    """

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.number = number


@contextmanager
def refusals_of(place: str, way_out: str = "") -> Iterator[None]:
    """Tell what the operating system refuses as a mistake about a place.

    Args:
        place: a key and its value, before the system's reason.
        way_out: what would do, after it.

    Raises:
        DataError: with the system's reason.
    """
    try:
        yield
    except OSError as problem:
        raise DataError(f"{place}: {problem.strerror or problem}{way_out}") from None
