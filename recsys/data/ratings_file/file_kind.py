"""What a file contains, recognised by its first bytes: text, compressed text, or Parquet."""

import gzip
import io
import zlib
from pathlib import Path
from typing import Literal

from recsys.data.ratings_file.format import TextSource
from recsys.errors import DataError

FileKind = Literal["text", "gzip", "parquet"]
MAX_COMPRESSION_RATIO = 100  # unpacked to packed size; about 5 for ratings
BUFFER_SIZE = 2**20
SMALL = 2**20  # bytes; below that, any ratio is harmless
OTHER_STARTS = {
    b"PK\x03\x04": "a zip archive",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}


def unpacked_limit(path: Path, least: int) -> int:
    """Return how many bytes a file may unpack to: MAX_COMPRESSION_RATIO times its size, but at least `least`."""
    return max(MAX_COMPRESSION_RATIO * path.stat().st_size, least)


def kind_of(path: Path) -> FileKind:
    """Return what a file contains.

    Raises:
        DataError: it is compressed in another way.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(8)
    if start.startswith(b"PAR1"):
        return "parquet"
    if start.startswith(b"\x1f\x8b"):
        return "gzip"
    for begin, name in OTHER_STARTS.items():
        if start.startswith(begin):
            raise DataError(f"{path}: is compressed ({name}); unpack it, or compress it with gzip")
    return "text"


def text_source(path: Path, name: str, kind: FileKind) -> TextSource:
    """Return a file of text, or of text compressed with gzip, as a text to read."""
    size = path.stat().st_size
    if kind == "text":
        return TextSource(name, size, lambda: path.open("rb"))
    return TextSource(name, 5 * size, lambda: io.BufferedReader(_LimitedGzip(path, name), BUFFER_SIZE))


class _LimitedGzip(io.RawIOBase):
    """Reads a gzip file up to MAX_COMPRESSION_RATIO times its size."""

    def __init__(self, path: Path, name: str) -> None:
        self.name_in_errors = name
        self.left = unpacked_limit(path, SMALL)
        self.file = gzip.open(path, "rb")  # noqa: SIM115  # closed by `close`

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read into a buffer, and return the number of bytes, 0 at the end.

        Raises:
            DataError: the file is damaged, or there is more in it than expected.
        """
        try:
            n = self.file.readinto(buffer)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise DataError(f"{self.name_in_errors}: damaged gzip file ({error})") from None
        self.left -= n
        if self.left < 0:
            raise DataError(
                f"{self.name_in_errors}: its text is more than {MAX_COMPRESSION_RATIO} times as large as the file; "
                "unpack it, and check the text"
            )
        return n

    def close(self) -> None:
        """Close the file."""
        self.file.close()
        super().close()
