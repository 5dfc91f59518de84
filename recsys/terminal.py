"""Text for terminals and logs: characters that would control a terminal are shown instead of sent to it."""

import logging
import re
import sys
import threading
import traceback
import warnings
from types import TracebackType
from typing import Any

log = logging.getLogger(__name__)

# Control characters except newline and tab; Unicode line separators and bidirectional control characters; surrogates,
# which stand for the bytes of a file name that is not UTF-8; and two characters that XML does not allow.
_INVISIBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def visible(text: object) -> str:
    r"""Return text with its control characters shown, so that ids, titles and messages cannot control a terminal.

    >>> visible("Heat\x1b[2J (1995)")
    'Heat\\x1b[2J (1995)'
    """
    return _INVISIBLE.sub(lambda found: found[0].encode("unicode_escape").decode(), str(text))


def without_control_characters(value: Any) -> Any:
    """Return a value of a template; control characters of a plain string are shown, and markup is returned as it is."""
    return visible(value) if type(value) is str else value


def json_escaped(text: str) -> str:
    """Return JSON in which the control characters that JSON allows in strings are escaped as well."""
    return _INVISIBLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def print_line(text: object = "", is_error: bool = False) -> None:
    """Print a line, with its control characters shown, to standard output or standard error."""
    stream = sys.stderr if is_error else sys.stdout
    if stream is not None:  # None: the program was started without it
        stream.write(f"{visible(text)}\n")


def can_print(text: str) -> bool:
    """Return whether the encoding of standard output has all characters of a text."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def is_terminal() -> bool:
    """Return whether standard output is a terminal."""
    return sys.stdout is not None and sys.stdout.isatty()


def set_up_tracebacks_and_warnings() -> None:
    """Let Python print the messages of uncaught errors and of warnings with their control characters shown."""
    sys.excepthook = _print_traceback
    threading.excepthook = _report_thread
    warnings.formatwarning = _format_warning
    # A title in a figure may have characters that its font lacks; they are drawn as boxes.
    warnings.filterwarnings("ignore", message="Glyph .* missing from font")


def _print_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    print_line("".join(traceback.format_exception(kind, error, trace)).rstrip("\n"), is_error=True)


def _report_thread(arguments: threading.ExceptHookArgs) -> None:
    """Report an error in a thread: one line if it comes from the operating system, such as a full disk."""
    error = arguments.exc_value
    if isinstance(error, OSError):
        log.warning("a background thread has stopped: %s", error)
    elif error is not None:
        _print_traceback(arguments.exc_type, error, arguments.exc_traceback)


_DEFAULT_FORMAT = warnings.formatwarning


def _format_warning(*arguments: Any, **options: Any) -> str:
    return visible(_DEFAULT_FORMAT(*arguments, **options))


class LogFormatter(logging.Formatter):
    """Formats log records with their control characters shown."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines of a record."""
        return visible(super().format(record))
