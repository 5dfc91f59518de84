"""Precision of matrix products in float32."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def tf32(is_on: bool) -> Iterator[None]:
    """Allow TF32 during the block: NVIDIA GPUs then multiply float32 numbers with fractions of 10 instead of 23 bits.

    Args:
        is_on: whether to allow it; otherwise the setting of the process is kept.
    """
    before = torch.get_float32_matmul_precision()
    if is_on:
        torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
