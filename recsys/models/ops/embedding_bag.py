"""Sums over variable-length lists of embedding rows: a fast gradient on a CPU, and no long lists on a GPU."""

from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

MAX_PIECE = 256  # rows that one thread of a GPU sums up


class BagIndex:
    """The lists of table rows ("bags") that are summed, in the format of `torch.nn.functional.embedding_bag`.

    Args:
        indices: int32 (R,), table rows of all bags, one bag after the other.
        offsets: int32 (B,), position in `indices` at which each bag begins.
        num_embeddings: number of table rows.
    """

    def __init__(self, indices: Tensor, offsets: Tensor, num_embeddings: int) -> None:
        self.indices, self.offsets, self.num_embeddings = indices, offsets, num_embeddings

    @cached_property
    def transposed(self) -> tuple[Tensor, Tensor, Tensor]:
        """The bags that contain each table row, as a sparse matrix in compressed columns.

        Returns:
            Bag numbers (R,), grouped by table row; offsets (num_embeddings + 1,) of the groups, with the end
            of the last one; the position in `indices` of each entry (R,).
        """
        from scipy.sparse import csr_matrix

        offsets = np.append(self.offsets.numpy(), np.int32(len(self.indices)))
        positions = np.arange(len(self.indices), dtype=np.int32)
        shape = len(self.offsets), self.num_embeddings
        transposed = csr_matrix((positions, self.indices.numpy(), offsets), shape=shape).tocsc()
        bags, starts, order = (
            torch.from_numpy(array) for array in (transposed.indices, transposed.indptr, transposed.data)
        )
        return bags, starts, order


def bag_sums(table: Tensor, bags: BagIndex, weights: Tensor | None = None) -> Tensor:
    """Return the sum of the table rows of each bag.

    On a CPU, the gradient of `torch.nn.functional.embedding_bag` sorts all indices and adds rows one by one,
    which takes many times as long as the sums. Here the gradient is itself a sum over bags: for each table
    row, the gradients of the bags that contain it. Measured with benchmarks/kernels.py on one thread: saves
    45 % of a step of model=history on data of the size of ML-100K, 60 % on ML-1M.

    On a GPU, torch's kernel gives each thread a whole bag, so that the others wait for the longest one. Here bags are
    summed in pieces.

    Args:
        table: (num_embeddings, d).
        bags: the rows to sum.
        weights: (R,), factor of each entry of `bags.indices`; it gets no gradient.

    Returns:
        Sums (B, d).
    """
    if table.device.type == "cpu" and not torch.compiler.is_compiling():
        return _BagSums.apply(table, bags, weights)
    return sums_in_pieces(table, bags, weights)


def sums_in_pieces(
    table: Tensor, bags: BagIndex, weights: Tensor | None, max_piece: int = MAX_PIECE
) -> Tensor:
    """Return `bag_sums`, computed from the sums of pieces of at most `max_piece` rows."""
    offsets = bags.offsets.long()
    n_rows, n_bags = len(bags.indices), len(offsets)
    if not n_bags:
        return table.new_zeros(0, table.shape[1])
    ends = torch.cat([offsets[1:], offsets.new_full((1,), n_rows)])
    pieces = (ends - offsets + max_piece - 1) // max_piece  # of each bag
    last_piece = pieces.cumsum(0)
    # At least as many as there are pieces: their number would have to be read from the GPU. The rest is empty.
    piece = torch.arange(n_rows // max_piece + n_bags, device=offsets.device)
    bag = torch.searchsorted(last_piece, piece, right=True).clamp_max(n_bags - 1)
    first_piece = last_piece - pieces
    starts = torch.minimum(offsets[bag] + (piece - first_piece[bag]) * max_piece, ends[bag])
    sums = embedding_bag(bags.indices.long(), table, starts, mode="sum", per_sample_weights=weights)
    return embedding_bag(piece, sums, first_piece, mode="sum")


class _BagSums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, bags: BagIndex, weights: Tensor | None) -> Tensor:
        ctx.bags, ctx.weights = bags, weights
        return embedding_bag(bags.indices, table, bags.offsets, mode="sum", per_sample_weights=weights)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        bags, offsets, order = ctx.bags.transposed
        weights = None if ctx.weights is None else ctx.weights.index_select(0, order)
        table_gradient = embedding_bag(
            bags,
            gradient.contiguous(),
            offsets,
            mode="sum",
            per_sample_weights=weights,
            include_last_offset=True,
        )
        return table_gradient, None, None
