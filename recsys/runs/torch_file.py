"""Write files of `torch.save` atomically, and read those that may come from anywhere.

Only plain values and completely stored tensors are accepted, and the memory is bounded by the size of the file.
"""

import math
import zipfile
from collections.abc import Iterable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, BinaryIO

import torch
from torch import Tensor

from recsys.atomic import atomic_write
from recsys.errors import RunError, named_line
from recsys.runs.folder import FORMAT
from recsys.runs.walk import walk

MAX_VALUES = 50_000  # of metadata: a small file can describe many, by references to the same list
MAX_PICKLE = 1 << 28  # bytes of everything but tensors; text ids of a million users take 20 MB


def read_torch_file(path: Path, mmap: bool = False) -> Any:
    """Return the content of a file of `torch.save`.

    No code in the file is run (weights_only=True). `torch.save` does not compress, so a file whose parts are
    compressed, overlap or claim to be larger than the file was made to fill the memory, and is refused unread. So is
    one that has the same tensors or lists many times, by references.

    Args:
        path: the file.
        mmap: map the file into memory instead of reading it, and do not verify its checksums.

    Raises:
        RunError: the file is missing, damaged, or was not written by `torch.save`.
    """
    try:
        _check_archive(path, verify=not mmap)
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
        _check_references(content, path)
        return content
    except FileNotFoundError:
        raise RunError(f"{path}: no such file") from None
    except RunError:
        raise
    except UnpicklingError:  # torch's message recommends loading the file without this protection
        raise RunError(
            f"{path}: damaged, or contains code instead of plain values; nothing was run"
        ) from None
    except Exception as error:  # damage causes many kinds of errors
        raise unreadable(path, error) from None


def write_torch_file(content: Any, path: Path) -> None:
    """Write a file with `torch.save` atomically.

    Args:
        content: what `torch.save` accepts.
        path: file to write; its folder is created if missing.

    Raises:
        OSError: the disk is full, or the folder is not writable.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        writer = _Writer(file)
        try:
            torch.save(content, writer)  # type: ignore[arg-type]  # needs write() and flush() only
        except RuntimeError:
            if writer.error is None:
                raise
            raise writer.error from None


class _Writer:
    """A file that remembers the error of a failed write, which torch replaces with a RuntimeError."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.flush = file, file.flush
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            return self.file.write(data)
        except OSError as error:
            self.error = error
            raise


def unreadable(path: Path, error: Exception) -> RunError:
    """Return the error for a file that cannot be read or parsed."""
    if isinstance(error, PermissionError):
        return RunError(f"{path}: cannot be read ({error.strerror}); make it readable for this user")
    return RunError(f"{path}: damaged, or not written by recsys ({named_line(error):.300})")


def require_format(path: Path, metadata: Any) -> None:
    """Check the format in the metadata of a file.

    Raises:
        RunError: it is missing, or differs from that of this version.
    """
    if not isinstance(metadata, dict) or type(found := metadata.get("format")) is not int:
        raise unreadable(path, ValueError("no format"))
    if found != FORMAT:
        raise RunError(f"{path}: has format {found!r:.20}, this version reads format {FORMAT}: train again")


def check_tensor(tensor: Any, shape: tuple[int | None, ...], dtypes: tuple[torch.dtype, ...]) -> Tensor:
    """Return a tensor from a file after checking that it is what is expected.

    Args:
        tensor: any value.
        shape: the expected shape; None for any length.
        dtypes: the allowed types.

    Raises:
        ValueError: it is not a tensor of this shape and type, has values that are not finite, or is not stored
            completely: a view with stride 0 claims more values than the file has.
    """
    dense = isinstance(tensor, Tensor) and tensor.layout is torch.strided and not tensor.is_nested
    if not dense or tensor.dtype not in dtypes:
        expected_types = " or ".join(map(str, dtypes))
        raise ValueError(f"{_kind(tensor)}; a dense tensor of type {expected_types} belongs here")
    fits = len(tensor.shape) == len(shape) and all(
        expected in (None, actual) for expected, actual in zip(shape, tensor.shape, strict=True)
    )
    if not fits:
        raise ValueError(f"a tensor of shape {tuple(tensor.shape)} instead of {shape}")
    if not tensor.is_contiguous() or tensor.is_meta or tensor.requires_grad:
        raise ValueError(f"a tensor of shape {tuple(tensor.shape)} that is not stored completely")
    if tensor.is_floating_point() and not tensor.isfinite().all():
        raise ValueError("values that are not finite (nan or inf)")
    return tensor


def check_plain(value: Any) -> None:
    """Check that a nested value contains only finite numbers, strings, booleans and None, and not too many.

    Raises:
        ValueError: it does not.
    """
    for key, node in walk(value, MAX_VALUES):
        for leaf in (key, None if isinstance(node, dict | list | tuple) else node):
            if isinstance(leaf, float) and not math.isfinite(leaf):
                raise ValueError(f"{leaf}, which is not a finite number")
            if not isinstance(leaf, str | int | float | None):
                raise ValueError(f"{_kind(leaf)} where a number or a string belongs")


def total_bytes(tensors: Iterable[Tensor]) -> int:
    """Return the size of tensors that are stored completely."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _kind(value: Any) -> str:
    return f"a tensor of type {value.dtype}" if isinstance(value, Tensor) else f"a {type(value).__name__}"


def _check_references(content: Any, path: Path) -> None:
    """Check that values which are stored once are not used so often that copies of them would fill the memory.

    Raises:
        RunError: the tensors together are more than twice as large as the file, or there are more values than bytes.
    """
    size = path.stat().st_size
    # A value takes at least one byte in a file without references.
    total = total_bytes(node for _, node in walk(content, size) if isinstance(node, Tensor))
    if total > 2 * size:  # at a cycle end, the newest snapshot is also the current scorer
        raise RunError(
            f"{path}: refused, because its tensors take {total:,} bytes and the file has {size:,}: they share memory "
            "or are not stored completely, more than in a file that recsys writes"
        )


def _check_archive(path: Path, verify: bool) -> None:
    """Check the table of contents of a file and, if `verify`, the checksums of its parts, which torch does not check.

    Raises:
        RunError: the file was made to take more memory than its size, or a checksum does not match.
    """
    if path.exists() and not path.is_file():
        raise RunError(f"{path}: cannot be read (not a regular file)")  # opening a pipe would block
    with path.open("rb") as file:
        if file.read(4) != b"PK\x03\x04":  # torch reads other files in an older format, unchecked
            raise zipfile.BadZipFile("not an archive of torch.save")
    size = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
        is_compressed = any(part.compress_type != zipfile.ZIP_STORED for part in parts)
        unpacked = sum(max(part.file_size, part.compress_size) for part in parts)
        pickles = sum(part.file_size for part in parts if part.filename.endswith(".pkl"))
        if is_compressed or unpacked > size:
            raise RunError(
                f"{path}: refused, because its parts are compressed or claim to unpack to {unpacked:,} bytes from a "
                f"file of {size:,} bytes, which torch.save never writes"
            )
        if pickles > MAX_PICKLE:
            raise RunError(f"{path}: has {pickles:,} bytes of metadata; at most {MAX_PICKLE:,} are allowed")
        if archive.comment or len({part.filename for part in parts}) < len(parts):
            raise zipfile.BadZipFile("the archive has two parts of the same name, or a comment")
        if verify and (damaged := archive.testzip()) is not None:
            raise RunError(f"{path}: damaged (checksum of {damaged} does not match)")
