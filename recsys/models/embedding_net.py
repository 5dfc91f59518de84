"""The network of Ilia Zaitsev's 2018 article: two concatenated embeddings through an MLP of any depth."""

from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import MinLen
from torch import Tensor, nn

from recsys.models.base import RatingNetwork
from recsys.models.heads import Head
from recsys.models.ops.mlp import MLP
from recsys.models.table_scorer import Table, TableScorer
from recsys.types import DropoutRate, NonNegativeFloat, PositiveInt


class EmbeddingNet(RatingNetwork):
    """Concatenated embeddings -> dropout -> [Linear, ReLU, dropout] x depth -> Linear -> head.

    The default head is a sigmoid rescaled to the rating range. As in the article, embeddings are initialised
    uniformly in (-0.05, 0.05) and linear layers Xavier-uniformly with biases of 0.01.

    Args:
        n_users: number of users.
        n_items: number of items.
        scale: the lowest and the highest rating.
        mean: the mean rating of the training set; used by head="linear".
        rating_values: the distinct ratings, ascending; needed by head="ordinal".
        embedding_dim: length of a user's and of an item's vector.
        hidden: widths of the hidden layers; a number means one layer, an empty list none.
        dropouts: dropout rate after each hidden layer; the last value of a list repeats for further layers.
        embedding_dropout: dropout rate on the concatenated vectors.
        margin: how far the sigmoid extends beyond the scale, in rating points, so that both ends can be reached;
            used by head="sigmoid".
        head: from scores to ratings: "sigmoid" as in the article, "linear" (mean + score) or "ordinal".
    """

    is_static = True

    def __init__(
        self,
        n_users: int,
        n_items: int,
        scale: Sequence[float],
        mean: float,
        rating_values: Sequence[float] = (),
        embedding_dim: PositiveInt = 32,
        hidden: PositiveInt | list[PositiveInt] = 64,
        dropouts: DropoutRate | Annotated[list[DropoutRate], MinLen(1)] = 0.2,
        embedding_dropout: DropoutRate = 0.6,
        margin: NonNegativeFloat = 0.5,
        head: Head = "sigmoid",
    ) -> None:
        super().__init__(n_users, n_items, scale, mean, rating_values, head, margin)
        self.user_embedding = nn.Embedding(n_users, embedding_dim)
        self.item_embedding = nn.Embedding(n_items, embedding_dim)
        self.mlp = MLP(2 * embedding_dim, hidden, dropouts, embedding_dropout)
        for module in self.modules():
            if isinstance(module, nn.Embedding):
                nn.init.uniform_(module.weight, -0.05, 0.05)
            elif isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.constant_(module.bias, 0.01)

    def logits(self, users: Tensor, items: Tensor) -> Tensor:
        """Return scores of pairs, which the head turns into ratings: (B,) and (B,) to (B,)."""
        vectors = torch.cat([self.user_embedding(users), self.item_embedding(items)], dim=1)  # (B, 2d)
        return self.mlp(vectors).squeeze(-1)

    def scorer(self, predicts_ratings: bool = True) -> TableScorer:
        """Return a scorer that applies the MLP to stored vectors, without biases or a dot product."""
        users = Table(self.user_embedding.weight, biases=None)
        items = Table(self.item_embedding.weight, biases=None)
        return TableScorer.copy_of(
            users, items, self.head, self.scale, predicts_ratings, dot=False, mlp=self.mlp
        )
