"""HybridNet: biases, a dot product and an MLP over vectors that carry ids, rating history and features."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import torch
from annotated_types import MinLen
from torch import Tensor, nn

from recsys.data.biases import ITEM_DAMPING, USER_DAMPING
from recsys.data.dataset import Dataset
from recsys.data.splits import Rows
from recsys.models import features
from recsys.models.base import RatingNetwork
from recsys.models.choice import ChoiceHead, make_joint_scorer
from recsys.models.encoders import Encoder, FeatureEncoder, HistoryEncoder, Terms
from recsys.models.heads import Head
from recsys.models.histories import HistoryLists, HistoryMatrix
from recsys.models.ops.mlp import MLP
from recsys.models.scorer import Scorer, Side
from recsys.models.table_scorer import Table, TableScorer
from recsys.types import DropoutRate, NonNegativeFloat, PositiveInt

IDS: Terms = {"id": True, "history": False, "features": False}


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
        user: what a user's vector and bias are the sums of; by default, the id embedding alone.
        item: what an item's vector and bias are the sums of.
        head: from scores to ratings: "linear" (mean + score), "sigmoid", "ordinal" or "auto"; see `make_head`.
        margin: how far a sigmoid extends beyond the scale, in rating points.
        init_std: initial standard deviation of all vectors.
        choice: whether the network also learns which items users choose, as `Joint` trains it; see `ChoiceHead`.
        threshold: the lowest relevant rating in the scores that then rank items; None: three quarters up the scale.
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
        user: Terms = IDS,
        item: Terms = IDS,
        head: Head = "linear",
        margin: NonNegativeFloat = 0.5,
        init_std: NonNegativeFloat = 0.05,
        choice: bool = False,
        threshold: float | None = None,
    ) -> None:
        super().__init__(n_users, n_items, scale, mean, rating_values, head, margin)
        self.embedding_dim = d = embedding_dim
        of_user: Terms = {**IDS, **user}
        of_item: Terms = {**IDS, **item}
        # The order in which tables are made decides which random numbers each of them gets.
        user_embedding = nn.Embedding(n_users, d) if of_user["id"] else None
        item_embedding = nn.Embedding(n_items, d) if of_item["id"] else None
        user_bias, item_bias = nn.Embedding(n_users, 1), nn.Embedding(n_items, 1)
        for table in (user_embedding, item_embedding):
            if table is not None:
                nn.init.normal_(table.weight, std=init_std)
        for table in (user_bias, item_bias):
            nn.init.zeros_(table.weight)
        user_history = (
            HistoryEncoder(n_items, d, init_std, USER_DAMPING, ITEM_DAMPING) if of_user["history"] else None
        )
        item_features = (
            FeatureEncoder(n_item_features, d) if of_item["features"] and n_item_features else None
        )
        user_features = (
            FeatureEncoder(n_user_features, d) if of_user["features"] and n_user_features else None
        )
        item_history = (
            HistoryEncoder(n_users, d, init_std, ITEM_DAMPING, USER_DAMPING) if of_item["history"] else None
        )
        self.user_encoder = Encoder(user_bias, user_embedding, user_features, user_history)
        self.item_encoder = Encoder(item_bias, item_embedding, item_features, item_history)
        self.mlp = MLP(2 * d, hidden, dropouts, embedding_dropout) if hidden != [] else None
        self.choice = ChoiceHead(n_items, d) if choice else None
        self.threshold = threshold

    @property
    def name(self) -> str:
        """The name in result tables, as in model=history and model=neumf."""
        return "history" if self._histories else "neumf"

    def default_loss(self, has_ratings: bool) -> str:
        """Return "joint" for ratings and rating histories, for which that loss was tuned; see `RatingNetwork`."""
        return "joint" if has_ratings and self._histories else super().default_loss(has_ratings)

    @property
    def is_static(self) -> bool:
        """Whether a training step has the same sizes for all batches: sums over a matrix have, over lists not."""
        ratings = [history.ratings for history in self._histories]
        if self.choice is not None:
            ratings.append(self.choice.ratings)
        return all(isinstance(one, HistoryMatrix) for one in ratings)

    @property
    def _histories(self) -> list[HistoryEncoder]:
        histories = self.user_encoder.history, self.item_encoder.history
        return [history for history in histories if history is not None]

    def logits(self, users: Tensor, items: Tensor) -> Tensor:
        """Return scores of pairs, in training: (B,) and (B,) to (B,)."""
        return self._scores(self.user_encoder(users, items), self.item_encoder(items, users))

    def joint_losses(
        self, users: Tensor, items: Tensor, ratings: Tensor, negatives: int
    ) -> tuple[Tensor, Tensor]:
        """Return the losses of ratings and of choices; see `RatingNetwork.joint_losses`."""
        if self.choice is None:
            return super().joint_losses(users, items, ratings, negatives)
        user, item = self.user_encoder(users, items), self.item_encoder(items, users)
        choice = self.choice.loss(users, items, (user[0], item[0]), negatives)
        return self.rating_loss(self._scores(user, item), ratings), choice

    def _scores(self, user: tuple[Tensor, Tensor], item: tuple[Tensor, Tensor]) -> Tensor:
        """Return scores (B,) of vectors (B, d) and biases (B, 1)."""
        (p, user_bias), (q, item_bias) = user, item
        scores = (user_bias + item_bias).squeeze(-1) + (p * q).sum(-1)
        return scores if self.mlp is None else scores + self.mlp(torch.cat([p, q], dim=1)).squeeze(-1)

    def scorer(self, predicts_ratings: bool = True) -> Scorer:
        """Return a scorer of the encoders' tables and the MLP."""
        return self._scorer_of(self.user_encoder.table(), self.item_encoder.table(), predicts_ratings)

    def empty_scorer(self, predicts_ratings: bool = True) -> Scorer:
        """Return a scorer of the right shapes; needs no training data."""
        d = self.embedding_dim
        users, items = (Table(torch.zeros(n, d), torch.zeros(n, 1)) for n in (self.n_users, self.n_items))
        return self._scorer_of(users, items, predicts_ratings)

    def _scorer_of(self, users: Table, items: Table, predicts_ratings: bool) -> Scorer:
        scorer = TableScorer.copy_of(users, items, self.head, self.scale, predicts_ratings, mlp=self.mlp)
        return scorer if self.choice is None else make_joint_scorer(scorer, self.choice, self.threshold)

    def tables(self, side: Side) -> dict[str, nn.Embedding]:
        """Return the id embeddings of one side, by attribute name."""
        encoder = self.user_encoder if side == "user" else self.item_encoder
        tables = {f"{side}_embedding": encoder.embedding, f"{side}_bias": encoder.bias}
        if side == "item" and self.choice is not None:
            tables["item_choice_bias"] = self.choice.bias
        return {name: table for name, table in tables.items() if table is not None}

    def setup_from_data(self, dataset: Dataset, train: Rows) -> None:
        """Take features and the training ratings, as far as they are used."""
        super().setup_from_data(dataset, train)
        if self.item_encoder.features is not None:
            self.item_encoder.features.set_features(features.item_features(dataset))
        if self.user_encoder.features is not None:
            self.user_encoder.features.set_features(features.user_features(dataset))
        if not self._histories and self.choice is None:
            return
        users, items = dataset.users[train], dataset.items[train]
        deviations = dataset.ratings[train] - np.float32(self.mean)
        if not dataset.has_ratings:  # histories then say which items were chosen, and nothing else
            deviations = np.zeros_like(deviations)
        of_users, of_items = self.user_encoder.history, self.item_encoder.history
        if of_users is not None:
            of_users.set_ratings(users, items, deviations, self.n_users)
        if of_items is not None:
            of_items.set_ratings(items, users, deviations, self.n_items)
        if self.choice is not None:
            known = of_users.lists if of_users is not None else None
            rated = known or HistoryLists.of(users, items, deviations, self.n_users, self.n_items)
            self.choice.set_ratings(items, rated)
