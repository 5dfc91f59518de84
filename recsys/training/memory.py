"""Memory during training: reuse of freed blocks, and an error message when memory runs out."""

import ctypes
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from recsys.errors import TrainingError, first_line

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # constants of glibc's malloc.h
MAX_REUSED_BLOCK = 256 << 20  # bytes; far larger than the activations of a layer


def reuse_freed_memory() -> None:
    """Make glibc's allocator reuse freed blocks of up to 256 MB.

    By default, glibc returns blocks of a megabyte to the system when they are freed. A training step on a CPU
    frees and allocates all its activations, which causes about a thousand page faults per step. Has no effect
    except on Linux with glibc.
    """
    if sys.platform != "linux":
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # another C library
        return
    mallopt(M_MMAP_THRESHOLD, MAX_REUSED_BLOCK)
    mallopt(M_TRIM_THRESHOLD, MAX_REUSED_BLOCK)


@contextmanager
def explain_out_of_memory(batch_size: int) -> Iterator[None]:
    """Convert out-of-memory errors into an error that says what to change.

    Args:
        batch_size: ratings per step.

    Raises:
        TrainingError: memory ran out in the block.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as problem:  # torch raises a plain RuntimeError on a CPU
        message = str(problem)
        if not isinstance(problem, MemoryError) and not re.search("out of memory|allocate memory", message):
            raise
        raise TrainingError(
            f"not enough memory with batch_size={batch_size}: reduce batch_size, model.hidden or "
            f"model.embedding_dim ({first_line(problem)})"
        ) from None
