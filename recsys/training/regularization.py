"""L2 penalty on the embeddings used in each step, so frequent rows are regularised more."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from recsys.data.batches import Batch
from recsys.models.base import RatingNetwork
from recsys.models.scorer import Side
from recsys.types import NonNegativeFloat

MAX_DENSE = 1 << 24  # entries of a table: reading 64 MB takes a GPU 30 microseconds


@dataclass(frozen=True)
class L2Penalty:
    """The mean over a batch of weight x (|p_u|^2 + |q_i|^2) (Koren, Bell and Volinsky 2009, equation 5).

    Weight decay instead shrinks all rows alike: rare ones far too much, or frequent ones too little.

    Attributes:
        vectors: weight of tables with more than one column.
        biases: weight of tables with one column.
    """

    vectors: NonNegativeFloat = 0.05
    biases: NonNegativeFloat = 0.01

    def __bool__(self) -> bool:
        return bool(self.vectors or self.biases)

    def __call__(self, network: RatingNetwork, batch: Batch) -> Tensor | float:
        """Return the penalty of a batch as a scalar.

        On a GPU, the squared lengths of all rows are weighted by how often a row occurs. It has the same value and
        gradient, and needs no second look-up of the rows, whose gradient is slow there for small batches.
        """
        total: Tensor | float = 0.0
        sides: tuple[tuple[Side, Tensor], ...] = (("user", batch.users), ("item", batch.items))
        for side, index in sides:
            for table in network.tables(side).values():
                weight = self.biases if table.embedding_dim == 1 else self.vectors
                if weight and is_dense(table):
                    total = total + weight * (_counts(index, table) * table.weight.square().sum(1)).sum()
                elif weight:
                    total = total + weight * table(index).square().sum()
        return total / len(batch.ratings)


def is_dense(table: nn.Embedding) -> bool:
    """Return whether all rows of a table take part in a penalty: on a GPU, if there are not too many."""
    return table.weight.device.type != "cpu" and not table.sparse and table.weight.numel() <= MAX_DENSE


def _counts(index: Tensor, table: nn.Embedding) -> Tensor:
    """Return how often each row occurs in indices (B,): float32 (n,)."""
    ones = torch.ones(len(index), device=index.device)
    return torch.zeros(table.num_embeddings, device=index.device).index_add_(0, index, ones)
