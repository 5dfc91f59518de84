"""Memory while training: freed blocks are kept for the next step, and a shortage is told as one."""

import ctypes
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from recsys.errors import TrainingError

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
LARGEST_KEPT = 256 << 20  # bytes; far above a layer's activations


def reuse_freed_memory() -> None:
    """Let glibc's allocator reuse blocks of up to 256 MB.

    By itself it takes a block of a megabyte from the system and returns it when it is freed: a training step
    on the CPU, which frees all its activations and allocates them again, then waits for about a thousand page
    faults. Elsewhere than on Linux with glibc nothing is changed.
    """
    if sys.platform != "linux":
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # another C library
        return
    mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT)
    mallopt(M_TRIM_THRESHOLD, LARGEST_KEPT)


@contextmanager
def explain_out_of_memory(batch_size: int) -> Iterator[None]:
    """Tell of too little memory as something that the user can mend.

    Raises:
        TrainingError: names the batch size.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as problem:  # torch has no class of its own for a CPU
        told = str(problem)
        if not isinstance(problem, MemoryError) and not re.search("out of memory|allocate memory", told):
            raise
        reason = (told.splitlines() or ["MemoryError"])[0]
        raise TrainingError(
            f"not enough memory with batch_size={batch_size}: a smaller one, fewer model.hidden or a smaller "
            f"model.embedding_dim need less ({reason})"
        ) from None
