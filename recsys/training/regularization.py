"""L2 penalty on the embeddings used in each step, so frequent rows are regularised more."""

from dataclasses import dataclass

from torch import Tensor

from recsys.data.batches import Batch
from recsys.models.base import RatingNetwork
from recsys.models.scorer import Side
from recsys.types import NonNegativeFloat


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
        """Return the penalty of a batch as a scalar."""
        total: Tensor | float = 0.0
        sides: tuple[tuple[Side, Tensor], ...] = (("user", batch.users), ("item", batch.items))
        for side, index in sides:
            for table in network.tables(side).values():
                weight = self.biases if table.embedding_dim == 1 else self.vectors
                if weight:
                    total = total + weight * table(index).square().sum()
        return total / len(batch.ratings)
