"""L2 per occurrence: a row is drawn towards zero each time a batch has it, so by as much as it is trained."""

from torch import Tensor

from recsys.data.batches import Batch
from recsys.models.base import RatingNetwork


def l2_per_occurrence(network: RatingNetwork, batch: Batch, vectors: float, biases: float) -> Tensor | float:
    """The mean over a batch's pairs of their rows' squared length, weighted.

    Per pair, weight x (|p_u|^2 + |q_m|^2), as Koren, Bell and Volinsky (2009, equation 5) have it. Weight
    decay instead draws all rows alike: those rarely trained far too much, or the others too little.

    Args:
        network: whose trained tables of users and items are meant.
        batch: B ratings.
        vectors: the weight of tables with more than one column.
        biases: the weight of tables with one.
    """
    total: Tensor | float = 0.0
    for side, rows in (("user", batch.users), ("item", batch.items)):
        for table in network.tables(side).values():
            weight = biases if table.embedding_dim == 1 else vectors
            if weight and table.weight.requires_grad:
                total = total + weight * table(rows).square().sum()
    return total / len(batch.ratings)
