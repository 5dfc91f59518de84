"""Errors that a user can fix. Each message names what is wrong, its value, and what to do next."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class UserError(Exception):
    """An error that the user can fix; the command line shows it without a traceback."""


class ConfigError(UserError):
    """Invalid or contradictory configuration values."""


class DataError(UserError):
    """Data that cannot be read, or cannot be used as requested."""


class DownloadError(UserError):
    """No location has a usable archive."""


class UnknownIdError(UserError):
    """A user id, item id or title that is not in the data set."""


class RunError(UserError):
    """A run folder that is missing, unfinished or unreadable."""


class TrainingError(UserError):
    """Training cannot continue, for example because the loss is not finite."""


class Stopped(UserError):
    """A signal stopped a run or a sweep, which can be resumed.

    Args:
        message: what was stopped, and how to resume it.
        number: number of the signal.
    """

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.number = number


class Pruned(Exception):
    """A hyperparameter search stopped this trial early. Not a user error."""


def shortened(value: object, limit: int = 60, quoted: bool = True) -> str:
    """Return a value for an error message: cut after `limit` characters, in quotes if `quoted` or not printable.

    >>> print(shortened("heat"), shortened("9" * 5000, 5), shortened(17, quoted=False))
    'heat' '99999...' (5,000 characters) 17
    """
    try:
        text = str(value)
    except ValueError:  # an integer of more than 4300 digits
        text = f"{value:#x}"
    cut = text if len(text) <= limit else f"{text[:limit]}..."
    length = "" if cut == text else f" ({len(text):,} characters)"
    return (repr(cut) if quoted or not cut.isprintable() else cut) + length


def listed(names: Sequence[object], limit: int = 20) -> str:
    """Return names for an error message: quoted, shortened, and the first `limit` of them.

    >>> print(listed(["user", "item", "rating"], 2))
    'user', 'item', ... (3 in total)
    """
    shown = ", ".join(map(shortened, names[:limit]))
    return shown if len(names) <= limit else f"{shown}, ... ({len(names)} in total)"


def type_of(value: object) -> str:
    """Return the type of a value for an error message: "None", or its class with an article, such as "an int"."""
    name = type(value).__name__
    article = "an" if name[0] in "aeioAEIO" else "a"
    return "None" if value is None else f"{article} {name}"


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, its cause, the cause of that, and so on.

    Each is yielded once: the causes of errors of OmegaConf can form a circle.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        yield error
        seen.add(id(error))
        error = error.__cause__ or error.__context__


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the name of its class if it has no message."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def named_line(error: BaseException) -> str:
    """Return the class of an error and the first line of its message, as Python prints them."""
    return f"{type(error).__name__}: {error}".splitlines()[0]


@contextmanager
def os_error_as_data_error(prefix: str, hint: str = "") -> Iterator[None]:
    """Convert an OSError inside the block to a DataError.

    Args:
        prefix: start of the message: the key and value that the error is about.
        hint: end of the message: what to do next.

    Raises:
        DataError: an OSError occurred; the message has its reason.
    """
    try:
        yield
    except OSError as error:
        raise DataError(f"{prefix}: {error.strerror or error}{hint}") from None
