"""Sums of a table's rows, many or few at a time, with a gradient that takes no longer than the sums."""

from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor
from torch.nn import functional


def sum_rows(table: Tensor, rows: Tensor, starts: Tensor, weights: Tensor | None = None) -> Tensor:
    """What `torch.nn.functional.embedding_bag` gives with mode="sum".

    Its gradient on a CPU sorts `rows` and adds up one after another, which takes forty times as long as the
    sums. Here it is a sum as well, over the transpose: of every row of the table, the bags that it is in.

    Args:
        table: (n, d).
        rows: of the table, those of one bag after those of another (R,).
        starts: where each of the bags begins among them (B,).
        weights: what each is multiplied by (R,); no gradient is made for them.

    Returns:
        Sums (B, d).
    """
    if table.device.type == "cpu" and table.requires_grad and not torch.compiler.is_compiling():
        return _SumRows.apply(table, rows, starts, weights)
    return functional.embedding_bag(rows, table, starts, mode="sum", per_sample_weights=weights)


class _SumRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, rows: Tensor, starts: Tensor, weights: Tensor | None) -> Tensor:
        ctx.save_for_backward(rows, starts, weights)
        ctx.n = len(table)
        return functional.embedding_bag(rows, table, starts, mode="sum", per_sample_weights=weights)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        rows, starts, weights = ctx.saved_tensors
        values = np.ones(len(rows), dtype=np.float32) if weights is None else weights.numpy()
        ends = np.append(starts.numpy(), len(rows))
        bags = csr_matrix((values, rows.numpy(), ends), shape=(len(starts), ctx.n)).tocsc()
        of_table = functional.embedding_bag(
            torch.from_numpy(bags.indices),
            gradient.contiguous(),
            torch.from_numpy(bags.indptr),
            mode="sum",
            per_sample_weights=None if weights is None else torch.from_numpy(bags.data),
            include_last_offset=True,
        )
        return of_table, None, None, None
