"""Keep freed memory for the next step instead of handing it back to the operating system."""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
LARGEST_KEPT = 256 << 20  # bytes; far above a layer's activations


def keep_freed_memory() -> None:
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
