"""Sums of a table's rows, many or few at a time, with a gradient that takes no longer than the sums."""

from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag


class Bags:
    """Which rows of a table are summed together.

    `torch.nn.functional.embedding_bag` makes its gradient on a CPU by sorting all rows and adding one after
    another, which takes many times as long as the sums. Here it is a sum over the transpose: of each row of
    the table, the bags that it is in (benchmarks/history.py measures both).

    Args:
        rows: int32 (R,), those of one bag after those of another.
        starts: int32 (B,), where each of the bags begins among them.
        n: how many rows the table has.
    """

    def __init__(self, rows: Tensor, starts: Tensor, n: int) -> None:
        self.rows, self.starts, self.n = rows, starts, n

    def sum(self, table: Tensor, weights: Tensor | None = None) -> Tensor:
        """Sums (B, d) of rows of a table (n, d), each times its weight (R,); these get no gradient."""
        if table.device.type == "cpu" and not torch.compiler.is_compiling():
            return _Sum.apply(table, self, weights)
        return embedding_bag(self.rows, table, self.starts, mode="sum", per_sample_weights=weights)

    @cached_property
    def transposed(self) -> tuple[Tensor, Tensor, Tensor]:
        """Bags (R,), those that hold a row of the table after those that hold another; where each of the n
        groups begins, and where the last one ends (n + 1,); the places in `rows` that they come from (R,).
        """
        from scipy.sparse import csr_matrix

        ends = np.append(self.starts.numpy(), np.int32(len(self.rows)))
        places = np.arange(len(self.rows), dtype=np.int32)
        back = csr_matrix((places, self.rows.numpy(), ends), shape=(len(self.starts), self.n)).tocsc()
        bags, starts, order = (torch.from_numpy(part) for part in (back.indices, back.indptr, back.data))
        return bags, starts, order


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, bags: Bags, weights: Tensor | None) -> Tensor:
        ctx.bags, ctx.weights = bags, weights
        return embedding_bag(bags.rows, table, bags.starts, mode="sum", per_sample_weights=weights)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        bags, starts, order = ctx.bags.transposed
        weights = None if ctx.weights is None else ctx.weights.index_select(0, order)
        gradient = gradient.contiguous()
        of_table = embedding_bag(
            bags, gradient, starts, mode="sum", per_sample_weights=weights, include_last_offset=True
        )
        return of_table, None, None
