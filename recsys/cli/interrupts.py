"""End a command on Ctrl-C with one line and exit code 130, at any moment."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from recsys.runs.processes import is_unhandled

INTERRUPTED_CODE = 128 + signal.SIGINT


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
        if not is_unhandled(signal.SIGINT) or threading.current_thread() is not threading.main_thread():
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
