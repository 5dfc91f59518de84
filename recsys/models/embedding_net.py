"""The network of Ilia Zaitsev's 2018 article: two embeddings, side by side, through layers of any depth."""

from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import MinLen
from torch import Tensor, nn

from recsys.models.base import RatingNetwork
from recsys.models.heads import Head
from recsys.models.ops.all_pairs import Precision, all_pairs
from recsys.models.ops.mlp import MLP
from recsys.types import DropoutRate, NonNegativeFloat, PositiveInt


class EmbeddingNet(RatingNetwork):
    """Concatenated embeddings -> dropout -> [Linear, ReLU, dropout] x depth -> Linear -> bounded rating.

    A sigmoid, stretched `margin` beyond both ends of the scale so that the ends themselves can be reached,
    bounds the output. Embeddings start uniform in (-0.05, 0.05), linear layers Xavier-uniform with biases of
    0.01, as in the article.

    Args:
        n_users: how many user rows.
        n_items: how many item rows.
        scale: the lowest and the highest rating possible.
        mean: the mean rating of the training part; used by head="linear".
        levels: the different ratings there are; needed by head="ordinal".
        embedding_dim: the length of a user's and of a item's vector.
        hidden: widths of the layers; a number is one layer, an empty list none.
        dropouts: dropout after each layer; a list's last value repeats for the layers beyond it.
        embedding_dropout: dropout on the concatenated vectors.
        margin: how far the sigmoid reaches beyond the scale, in rating points.
        head: what makes a rating of a score; the article's is "sigmoid".
    """

    def __init__(
        self,
        n_users: int,
        n_items: int,
        scale: Sequence[float],
        mean: float,
        levels: Sequence[float] = (),
        embedding_dim: PositiveInt = 50,
        hidden: PositiveInt | list[PositiveInt] = 100,
        dropouts: DropoutRate | Annotated[list[DropoutRate], MinLen(1)] = 0.2,
        embedding_dropout: DropoutRate = 0.02,
        margin: NonNegativeFloat = 0.5,
        head: Head = "sigmoid",
    ) -> None:
        super().__init__(n_users, n_items, scale, mean, levels, head, margin)
        self.user_embedding = nn.Embedding(n_users, embedding_dim)
        self.item_embedding = nn.Embedding(n_items, embedding_dim)
        self.layers = MLP(2 * embedding_dim, hidden, dropouts, embedding_dropout)
        self._initialise()

    def logits(self, users: Tensor, items: Tensor) -> Tensor:
        """Scores of pairs: (B,) and (B,) to (B,)."""
        vectors = torch.cat([self.user_embedding(users), self.item_embedding(items)], dim=1)  # (B, 2d)
        return self.layers(vectors).squeeze(-1)

    @torch.no_grad()
    def score(self, users: Tensor, precision: Precision = "fp32") -> Tensor:
        """Every item's rating: (B,) to (B, n_items)."""
        user, item = self.user_embedding(users), self.item_embedding.weight
        return self.head(all_pairs(self.layers, user, item, precision))

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Embedding):
                nn.init.uniform_(module.weight, -0.05, 0.05)
            elif isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.constant_(module.bias, 0.01)
