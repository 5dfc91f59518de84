"""Biases, a dot product and layers together, over vectors that can carry more than an id."""

import copy
from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import MinLen
from torch import Tensor, nn

from recsys.data.biases import fit_biases
from recsys.data.dataset import Dataset
from recsys.data.splits import Rows
from recsys.models.base import RatingNetwork
from recsys.models.encoders import History
from recsys.models.features import item_features, user_features
from recsys.models.heads import Head
from recsys.models.ops.all_pairs import Precision, all_pairs
from recsys.models.ops.mlp import MLP
from recsys.types import DropoutRate, NonNegativeFloat, PositiveInt


class NeuMF(RatingNetwork):
    """score = b_u + b_m + p_u . q_m + layers([p_u; q_m]), and a head that makes a rating of it.

    Both paths of NeuMF (He et al. 2017, Neural Collaborative Filtering) share their vectors, and biases join
    them. p_u is the user's own row plus, with `history`, what they have rated (see `recsys.models.encoders`).
    With `features`, rows of the item's genres and years are added to q_m and b_m, rows of the user's gender,
    age and occupation to p_u and b_u: with the products of both sides, a factorization machine (Rendle 2010).

    In evaluation mode all that p_u and b_u are made of besides their own rows stands in a table,
    `user_context`: the network then needs no ratings, and a user's history is all that they have rated.

    Args:
        n_users: how many user rows.
        n_items: how many item rows.
        scale: the lowest and the highest rating possible.
        mean: the mean rating of the training part.
        levels: the different ratings there are; needed by head="ordinal".
        n_item_features: how many numbers describe a item; needed by `features`.
        n_user_features: how many describe a user; likewise.
        embedding_dim: the length d of a user's and of a item's vector.
        hidden: widths of the layers; a number is one layer, an empty list leaves the layers out.
        dropouts: dropout after each layer; a list's last value repeats for the layers beyond it.
        embedding_dropout: dropout on the vectors where they enter the layers.
        history: whether a user's vector carries what they have rated.
        features: whether vectors and biases carry what is known of a item and of a user.
        head: "linear" (mean + score), "sigmoid" or "ordinal".
        margin: how far a sigmoid reaches beyond the scale, in rating points.
        init_std: standard deviation of all vectors at the start.
    """

    item_features: Tensor
    user_features: Tensor
    history: History | None
    layers: MLP | None

    def __init__(
        self,
        n_users: int,
        n_items: int,
        scale: Sequence[float],
        mean: float,
        levels: Sequence[float] = (),
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
        super().__init__(n_users, n_items, scale, mean, levels, head, margin)
        d = embedding_dim
        self.user_embedding, self.item_embedding = nn.Embedding(n_users, d), nn.Embedding(n_items, d)
        self.user_bias, self.item_bias = nn.Embedding(n_users, 1), nn.Embedding(n_items, 1)
        for table in (self.user_embedding, self.item_embedding):
            nn.init.normal_(table.weight, std=init_std)
        for table in (self.user_bias, self.item_bias):
            nn.init.zeros_(table.weight)
        self.history = History(n_items, d, init_std) if history else None
        self.item_rows = _rows(n_item_features, d + 1) if features and n_item_features else None
        self.user_rows = _rows(n_user_features, d + 1) if features and n_user_features else None
        self.register_buffer("item_features", torch.zeros(n_items, n_item_features if features else 0))
        self.register_buffer(
            "user_features", torch.zeros(n_users, n_user_features if features else 0), persistent=False
        )
        self.has_context = self.history is not None or self.user_rows is not None
        if self.has_context:
            self.user_context = nn.Embedding(
                n_users, d + 1, _weight=torch.zeros(n_users, d + 1), _freeze=True
            )
        self.has_facts = False
        self.layers = MLP(2 * d, hidden, dropouts, embedding_dropout) if hidden != [] else None

    def logits(self, users: Tensor, items: Tensor) -> Tensor:
        """Scores of pairs, before the head: (B,) and (B,) to (B,)."""
        user, user_bias = self._users(users, items)
        item, item_bias = self._items(items)
        scores = (user_bias + item_bias).squeeze(-1) + (user * item).sum(-1)
        if self.layers is None:
            return scores
        return scores + self.layers(torch.cat([user, item], dim=1)).squeeze(-1)

    @torch.no_grad()
    def score(self, users: Tensor, precision: Precision = "fp32") -> Tensor:
        """Every item's rating: (B,) to (B, n_items)."""
        user, user_bias = self._users(users, None)
        item, item_bias = self._items(torch.arange(self.n_items, device=users.device))
        scores = torch.addmm(item_bias.T, user, item.T).float().add_(user_bias)
        if self.layers is not None:
            scores += all_pairs(self.layers, user, item, precision)
        return self.head(scores)

    def _users(self, users: Tensor, items: Tensor | None) -> tuple[Tensor, Tensor]:
        """Vectors (B, d) and biases (B, 1) of users, as they are beside the items they are asked for."""
        vector, bias = self.user_embedding(users), self.user_bias(users)
        if self.training and self.has_facts and items is not None:
            if self.user_rows is not None:
                more, more_bias = self._split(self.user_rows(self.user_features[users]))
                vector, bias = vector + more, bias + more_bias
            return (vector if self.history is None else vector + self.history(users, items)), bias
        if self.has_context:
            more, more_bias = self._split(self.user_context(users))
            vector, bias = vector + more, bias + more_bias
        return vector, bias

    def _items(self, items: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors (B, d) and biases (B, 1) of items."""
        vector, bias = self.item_embedding(items), self.item_bias(items)
        if self.item_rows is None:
            return vector, bias
        more, more_bias = self._split(self.item_rows(self.item_features[items]))
        return vector + more, bias + more_bias

    def _split(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        vector, bias = rows.split([self.user_embedding.embedding_dim, 1], dim=1)
        return vector, bias

    @torch.no_grad()
    def vectors(self, side: str) -> Tensor:
        """Rows with all that is added to them; see `RatingNetwork.vectors`."""
        if side == "item":
            return self._items(torch.arange(self.n_items, device=self.item_bias.weight.device))[0]
        return self._users(torch.arange(self.n_users, device=self.user_bias.weight.device), None)[0]

    def setup_from_data(self, dataset: Dataset, train: Rows) -> None:
        """Take over features and the training part's ratings, as far as they are used."""
        self.has_facts = self.has_context
        if self.item_rows is not None:
            self.item_features.copy_(item_features(dataset.item_table))
        if self.user_rows is not None:
            self.user_features.copy_(user_features(dataset.user_table))
        if self.history is not None:
            users, items = dataset.users[train], dataset.items[train]
            biases = fit_biases(dataset, train)
            levels = dataset.ratings[train] - biases.mean - biases.items[items]
            self.history.remember(users, items, levels, self.n_users)

    def train(self, mode: bool = True) -> "NeuMF":
        """Switch between training and evaluation; for the latter, write down everybody's context."""
        if not mode and self.has_facts:
            self._write_context()
        return super().train(mode)

    @torch.no_grad()
    def _write_context(self) -> None:
        vectors = self._split(self.user_context.weight)[0]
        vectors.zero_()
        if self.user_rows is not None:
            self.user_context.weight.copy_(self.user_rows(self.user_features))
        if self.history is not None:
            vectors.add_(self.history.everybody())

    def for_evaluation(self) -> "RatingNetwork":
        """A copy with everybody's context as it was written last, without the ratings it was made of."""
        other = copy.deepcopy(self)
        other.has_facts = False
        if other.history is not None:
            other.history.forget()
        return other.eval().requires_grad_(False)


def _rows(n_features: int, width: int) -> nn.Linear:
    """A row for each feature, (n, n_features) to (n, width): small, so that training starts without them."""
    rows = nn.Linear(n_features, width, bias=False)
    nn.init.normal_(rows.weight, std=0.01)
    return rows
