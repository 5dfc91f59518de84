"""End a command on Ctrl-C with one line and exit code 130, at any moment."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

INTERRUPTED = "interrupted by Ctrl-C"
INTERRUPTED_CODE = 128 + signal.SIGINT


def exit_on_interrupt() -> None:
    """End the process at once on Ctrl-C: while modules are imported, there is nothing to clean up."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not if the parent ignores Ctrl-C
        signal.signal(signal.SIGINT, _exit_at_once)


def _exit_at_once(number: int, frame: FrameType | None) -> None:
    with suppress(OSError):
        os.write(2, f"{INTERRUPTED}\n".encode())
    os._exit(INTERRUPTED_CODE)  # public, despite its name


class Interrupts:
    """Raises KeyboardInterrupt on Ctrl-C, and remembers it.

    The exception can get lost: C extensions that are being imported replace it with an ImportError, and Python only
    prints exceptions that are raised in callbacks of the garbage collector.

    Attributes:
        received: whether Ctrl-C was pressed.
    """

    def __init__(self) -> None:
        self.received = False
        self._hook = sys.unraisablehook

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handle Ctrl-C during the block, unless the caller does so already or this is not the main thread."""
        handler = signal.getsignal(signal.SIGINT)
        is_own = handler in (signal.default_int_handler, _exit_at_once)
        if not is_own or threading.current_thread() is not threading.main_thread():
            yield
            return
        signal.signal(signal.SIGINT, self._receive)
        sys.unraisablehook = self._send_again
        try:
            yield
        finally:
            sys.unraisablehook = self._hook
            signal.signal(signal.SIGINT, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = True
        raise KeyboardInterrupt

    def _send_again(self, dropped: Any) -> None:
        """Send the signal again if its exception was raised where Python drops exceptions."""
        if issubclass(dropped.exc_type, KeyboardInterrupt):
            threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGINT)).start()
        else:
            self._hook(dropped)
