"""HybridNet: biases, a dot product and an MLP over vectors that carry ids, rating history and features."""

from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import MinLen
from torch import Tensor, nn

from recsys.data.biases import fit_biases
from recsys.data.dataset import Dataset
from recsys.data.splits import Rows
from recsys.models.base import RatingNetwork
from recsys.models.encoders import Encoder, FeatureEncoder, HistoryEncoder
from recsys.models.features import item_features, user_features
from recsys.models.heads import Head
from recsys.models.ops.mlp import MLP
from recsys.models.scorer import Scorer, Side, Table, TableScorer
from recsys.models.user_ratings import RatingMatrix
from recsys.types import DropoutRate, NonNegativeFloat, PositiveInt


class HybridNet(RatingNetwork):
    """score = b_u + b_i + p_u . q_i + MLP([p_u; q_i]).

    Both paths of NeuMF (He et al. 2017, Neural Collaborative Filtering) share their vectors, plus biases. A user
    encoder makes p_u and b_u, an item encoder q_i and b_i; see `recsys.models.encoders` for what they sum up.

    Args:
        n_users: number of users.
        n_items: number of items.
        scale: the lowest and the highest rating.
        mean: the mean rating of the training set.
        rating_values: the distinct ratings, ascending; needed by head="ordinal".
        n_item_features: number of item features; needed by `features`.
        n_user_features: number of user features; needed by `features`.
        embedding_dim: length d of a user's and of an item's vector.
        hidden: widths of the MLP's hidden layers; a number means one layer, an empty list no MLP.
        dropouts: dropout rate after each hidden layer; the last value of a list repeats for further layers.
        embedding_dropout: dropout rate on the vectors where they enter the MLP.
        history: whether a user's vector includes the rating history.
        features: whether vectors and biases include features of users and items.
        head: from scores to ratings: "linear" (mean + score), "sigmoid" or "ordinal".
        margin: how far a sigmoid extends beyond the scale, in rating points.
        init_std: initial standard deviation of all vectors.
    """

    def __init__(
        self,
        n_users: int,
        n_items: int,
        scale: Sequence[float],
        mean: float,
        rating_values: Sequence[float] = (),
        n_item_features: int = 0,
        n_user_features: int = 0,
        embedding_dim: PositiveInt = 32,
        hidden: PositiveInt | list[PositiveInt] = 64,
        dropouts: DropoutRate | Annotated[list[DropoutRate], MinLen(1)] = 0.2,
        embedding_dropout: DropoutRate = 0.5,
        history: bool = False,
        features: bool = False,
        head: Head = "linear",
        margin: NonNegativeFloat = 0.5,
        init_std: NonNegativeFloat = 0.05,
    ) -> None:
        super().__init__(n_users, n_items, scale, mean, rating_values, head, margin)
        d = embedding_dim
        # The order in which tables are made decides which random numbers each of them gets.
        user_embedding, item_embedding = nn.Embedding(n_users, d), nn.Embedding(n_items, d)
        user_bias, item_bias = nn.Embedding(n_users, 1), nn.Embedding(n_items, 1)
        for table in (user_embedding, item_embedding):
            nn.init.normal_(table.weight, std=init_std)
        for table in (user_bias, item_bias):
            nn.init.zeros_(table.weight)
        user_history = HistoryEncoder(n_items, d, init_std) if history else None
        of_items = FeatureEncoder(n_item_features, d) if features and n_item_features else None
        of_users = FeatureEncoder(n_user_features, d) if features and n_user_features else None
        self.user_encoder = Encoder(user_embedding, user_bias, of_users, user_history)
        self.item_encoder = Encoder(item_embedding, item_bias, of_items)
        self.mlp = MLP(2 * d, hidden, dropouts, embedding_dropout) if hidden != [] else None

    @property
    def name(self) -> str:
        """The name in result tables, as in model=history and model=neumf."""
        return "neumf" if self.user_encoder.history is None else "history"

    @property
    def is_static(self) -> bool:
        """Whether a training step has the same sizes for all batches: sums over a matrix have, over lists not."""
        history = self.user_encoder.history
        return history is None or isinstance(history.ratings, RatingMatrix)

    def logits(self, users: Tensor, items: Tensor) -> Tensor:
        """Return scores of pairs, in training: (B,) and (B,) to (B,)."""
        user, user_bias = self.user_encoder(users, items)
        item, item_bias = self.item_encoder(items, users)
        scores = (user_bias + item_bias).squeeze(-1) + (user * item).sum(-1)
        return scores if self.mlp is None else scores + self.mlp(torch.cat([user, item], dim=1)).squeeze(-1)

    def scorer(self, predicts_ratings: bool = True) -> Scorer:
        """Return a scorer of the encoders' tables and the MLP."""
        users, items = self.user_encoder.table(), self.item_encoder.table()
        return TableScorer.copy_of(users, items, self.head, self.scale, predicts_ratings, mlp=self.mlp)

    def empty_scorer(self, predicts_ratings: bool = True) -> Scorer:
        """Return a scorer of the right shapes; needs no training data."""
        users, items = (
            Table(of.embedding.weight, of.bias.weight) for of in (self.user_encoder, self.item_encoder)
        )
        return TableScorer.copy_of(users, items, self.head, self.scale, predicts_ratings, mlp=self.mlp)

    def tables(self, side: Side) -> dict[str, nn.Embedding]:
        """Return the id embeddings of one side, by attribute name."""
        encoder = self.user_encoder if side == "user" else self.item_encoder
        return {f"{side}_embedding": encoder.embedding, f"{side}_bias": encoder.bias}

    def setup_from_data(self, dataset: Dataset, train: Rows) -> None:
        """Take features and the training ratings, as far as they are used."""
        super().setup_from_data(dataset, train)
        if self.item_encoder.features is not None:
            self.item_encoder.features.set_features(item_features(dataset.item_table))
        if self.user_encoder.features is not None:
            self.user_encoder.features.set_features(user_features(dataset.user_table))
        if self.user_encoder.history is not None:
            users, items = dataset.users[train], dataset.items[train]
            biases = fit_biases(dataset, train)
            residuals = dataset.ratings[train] - biases.mean - biases.items[items]
            self.user_encoder.history.set_ratings(users, items, residuals, self.n_users)
