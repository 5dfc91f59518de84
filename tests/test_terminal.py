"""Text for terminals and logs."""

import doctest
import errno
import logging
import sys
import threading
import warnings

import pytest

import recsys.terminal
from recsys.terminal import LogFormatter, json_escaped, set_up_tracebacks_and_warnings, visible


def test_the_example() -> None:
    assert doctest.testmod(recsys.terminal).failed == 0


@pytest.mark.parametrize(
    "number", [*range(9), *range(11, 32), *range(0x7F, 0xA0), 0x202E, 0x2066, 0x2028, 0xDCFF]
)
def test_every_control_character_is_shown(number: int) -> None:
    shown = visible(f"a{chr(number)}b")
    assert shown.isprintable()
    assert shown.encode().decode("unicode_escape") == f"a{chr(number)}b"


@pytest.mark.parametrize(
    "text", ["Amélie (2001)", "七人の侍", "naïve\tline\nnext", "👩\u200d👩\u200d👧", r"C:\new"]
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert visible(text) == json_escaped(text) == text


def test_log_lines_show_control_characters_of_arguments_and_errors() -> None:
    try:
        raise ValueError("\x1b[2J")
    except ValueError as error:
        record = logging.LogRecord("a", 20, "f", 1, "%s", ("\x9bx",), (type(error), error, None))
    lines = LogFormatter("%(message)s").format(record).splitlines()
    assert (lines[0], lines[-1]) == (r"\x9bx", r"ValueError: \x1b[2J")


def test_a_full_disk_in_a_background_thread_is_one_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)  # restored after the test
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)

    def write() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with warnings.catch_warnings():
        set_up_tracebacks_and_warnings()
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
    assert caplog.messages == ["a background thread has stopped: [Errno 28] No space left on device"]
    assert capsys.readouterr().err == ""
