"""The standard streams of a command: closed ones are replaced, and no failed write interrupts its work."""

import errno
import io
import os
import sys
from typing import Any


def set_up_streams() -> None:
    """Prepare standard input, output and error; a second call changes nothing.

    Characters that the encoding of a stream cannot represent are written as backslash escapes.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # closed (>&-): the next file that is opened must not become standard output
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # gets the lowest free number, this one
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if stream is None:  # closed when Python started
            number = os.open(os.devnull, os.O_WRONLY)
        elif stream is not getattr(sys, f"__{name}__") or not isinstance(stream, io.TextIOWrapper):
            continue  # replaced by this function, a test or a notebook
        else:
            stream.flush()
        file = StandardFile(number)
        text = io.TextIOWrapper(
            file if stream and stream.write_through else io.BufferedWriter(file),
            encoding=stream.encoding if stream else "utf-8",
            errors="backslashreplace",
            line_buffering=bool(stream and stream.line_buffering),
            write_through=bool(stream and stream.write_through),
        )
        setattr(sys, name, text)


def output_error() -> OSError | None:
    """Flush standard output, and return the error of its first failed write; None if all went well.

    A reader that has ended, as in `recsys-compare | head -1`, is not an error.
    """
    sys.stdout.flush()
    buffer = getattr(sys.stdout, "buffer", None)
    file = getattr(buffer, "raw", buffer)
    return file.error if isinstance(file, StandardFile) else None


class StandardFile(io.FileIO):
    """A standard stream. After the first failed write, it discards everything, in child processes as well.

    Args:
        number: the file descriptor, which stays open.

    Attributes:
        error: the error of the first failed write, except that of a pipe without a reader.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number, "w", closefd=False)
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write bytes; never raises an OSError."""
        try:
            return super().write(data)
        except OSError as error:
            if error.errno != errno.EPIPE:
                self.error = error
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return len(data)
