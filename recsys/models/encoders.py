"""Encoders: what a user's or an item's vector is the sum of: id embedding, rating history, features."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import embedding_bag

from recsys.data.batches import row_starts
from recsys.data.biases import USER_DAMPING
from recsys.models.ops.embedding_bag import BagIndex, bag_sums
from recsys.models.scorer import Table

RATINGS_PER_CHUNK = 1 << 20


class Ratings(NamedTuple):
    """The training ratings, sorted by user and item.

    Attributes:
        keys: int64 (n,); user index * n_items + item index, ascending.
        items: int32 (n,); item indices.
        residuals: float32 (n,); ratings minus the mean and the item bias.
        starts: int64 (n_users + 1,); the ratings of user u are at `starts[u]` to `starts[u + 1]`.
        residual_sums: float32 (n_users, 1); the sum of each user's residuals.
    """

    keys: Tensor
    items: Tensor
    residuals: Tensor
    starts: Tensor
    residual_sums: Tensor

    @classmethod
    def of(cls, users: NDArray, items: NDArray, residuals: NDArray, n_users: int, n_items: int) -> "Ratings":
        """Sort ratings given in any order; user indices, item indices and residuals are all (n,)."""
        keys = users.astype(np.int64) * n_items + items
        order = np.argsort(keys, kind="stable")
        sorted_keys = torch.from_numpy(keys[order])
        sorted_residuals = torch.from_numpy(residuals[order].astype(np.float32))
        starts = row_starts(users, n_users)
        each = torch.arange(len(sorted_residuals))
        sums = embedding_bag(each, sorted_residuals[:, None], starts[:-1], mode="sum")
        return cls(sorted_keys, (sorted_keys % n_items).int(), sorted_residuals, starts, sums)

    def to(self, device: torch.device) -> "Ratings":
        """Return the same ratings on a device."""
        return Ratings(*(column.to(device) for column in self))


class HistoryEncoder(nn.Module):
    """h_u = |R|^-1/2 sum over j in R of (y_j + (r_uj - mean - b_j - b_u) x_j), without the rating in question.

    R is the set of items that u rated in the training set, b_j is the item's bias and b_u the damped mean of the
    remaining residuals over R (Koren 2008, Factorization Meets the Neighborhood: SVD++ with the explicit term of
    its asymmetric form). The item in question is left out of R, also where b_u is computed: its rating is the
    target, and a mean that contains it would leak it.

    Args:
        n_items: number of items.
        dim: length d of the vectors.
        init_std: initial standard deviation of y and x.
    """

    def __init__(self, n_items: int, dim: int, init_std: float) -> None:
        super().__init__()
        self.n_items = n_items
        self.chosen = nn.Embedding(n_items, dim)  # y: that an item was rated at all
        self.liked = nn.Embedding(n_items, dim)  # x: how it was rated
        nn.init.normal_(self.chosen.weight, std=init_std)
        nn.init.normal_(self.liked.weight, std=init_std)
        # Not a buffer: DDP would broadcast the ratings in every step, and averaged models would copy them.
        self._ratings: Ratings | None = None

    def set_ratings(self, users: NDArray, items: NDArray, residuals: NDArray, n_users: int) -> None:
        """Take the training ratings: user indices, item indices and residuals, all (n,)."""
        self._ratings = Ratings.of(users, items, residuals, n_users, self.n_items)

    @property
    def ratings(self) -> Ratings:
        """The training ratings, on the device of the weights.

        Raises:
            RuntimeError: they are not set.
        """
        if self._ratings is None:
            raise RuntimeError("no rating history: call network.setup_from_data(dataset, split.train) first")
        if self._ratings.keys.device != self.liked.weight.device:
            self._ratings = self._ratings.to(self.liked.weight.device)
        return self._ratings

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Return h of users (B,), each without the item (B,) in question: (B, d)."""
        ratings = self.ratings
        distinct, position = users.long().unique(return_inverse=True)
        chosen, liked, weighted, residual, count = (
            values.index_select(0, position) for values in self._sums(distinct)
        )
        keys = users.long() * self.n_items + items
        found = torch.searchsorted(ratings.keys, keys).clamp_max(len(ratings.keys) - 1)
        is_rated = (ratings.keys[found] == keys).float()[:, None]
        own_residual, x = is_rated * ratings.residuals[found, None], self.liked(items)
        return _combine(
            chosen - is_rated * self.chosen(items),
            liked - is_rated * x,
            weighted - own_residual * x,
            residual - own_residual,
            count - is_rated,
        )

    @torch.no_grad()
    def all_users(self) -> Tensor:
        """Return h of all users from all their ratings, the mean for users without any: (n_users, d)."""
        ratings = self.ratings
        n_users = len(ratings.starts) - 1
        chunk = max(1, RATINGS_PER_CHUNK * n_users // max(1, len(ratings.keys)))
        users = torch.arange(n_users, device=ratings.keys.device).split(chunk)
        vectors = torch.cat([_combine(*self._sums(some)) for some in users])
        counts = ratings.starts.diff()
        vectors[counts == 0] = vectors[counts > 0].mean(0)
        return vectors

    def _sums(self, users: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return sums over the ratings of users (U,): of y, of x and of residual * x, each (U, d); the sum of
        residuals and the number of ratings, each (U, 1)."""
        ratings = self.ratings
        first = ratings.starts[users]
        counts = ratings.starts[users + 1] - first
        offsets = counts.cumsum(0) - counts
        rows = torch.arange(int(counts.sum()), device=users.device)
        rows = rows + (first - offsets).repeat_interleave(counts, output_size=len(rows))
        # index_select takes a quarter of the time of indexing with brackets for many rows.
        items, residuals = ratings.items.index_select(0, rows), ratings.residuals.index_select(0, rows)
        both = torch.cat([self.chosen.weight, self.liked.weight], dim=1)
        bags = BagIndex(items, offsets.int(), self.n_items)
        chosen, liked = bag_sums(both, bags).chunk(2, dim=1)
        weighted = bag_sums(self.liked.weight, bags, residuals)
        return chosen, liked, weighted, ratings.residual_sums[users], counts[:, None].float()


def _combine(chosen: Tensor, liked: Tensor, weighted: Tensor, residual: Tensor, count: Tensor) -> Tensor:
    """Return h from the sums of `HistoryEncoder._sums`: (B, d)."""
    bias = residual / (USER_DAMPING + count)
    return (chosen + weighted - bias * liked) / count.clamp_min(1).sqrt()


class FeatureEncoder(nn.Module):
    """A linear map from features to a vector and a bias: with the dot products of both sides, a factorization
    machine (Rendle 2010).

    Args:
        n_features: number of features.
        dim: length of the vectors.
    """

    def __init__(self, n_features: int, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.rows = nn.Linear(n_features, dim + 1, bias=False)
        nn.init.normal_(self.rows.weight, std=0.01)  # small, so that training starts without features
        self._features: Tensor | None = None  # not a buffer: DDP would broadcast it in every step

    def set_features(self, features: Tensor) -> None:
        """Take the features of all users or items: float32 (n, n_features)."""
        self._features = features

    @property
    def features(self) -> Tensor:
        """The features, on the device of the weights.

        Raises:
            RuntimeError: they are not set.
        """
        if self._features is None:
            raise RuntimeError("no features: call network.setup_from_data(dataset, split.train) first")
        if self._features.device != self.rows.weight.device:
            self._features = self._features.to(self.rows.weight.device)
        return self._features

    def forward(self, index: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return vectors (B, dim) and biases (B, 1) of the given users or items, of all if None."""
        features = self.features if index is None else self.features[index]
        vectors, biases = self.rows(features).split([self.dim, 1], dim=1)
        return vectors, biases


class Encoder(nn.Module):
    """Vector and bias of a user or an item: id embeddings, plus features, plus rating history.

    Args:
        embedding: id embeddings (n, dim).
        bias: id biases (n, 1).
        features: adds to vectors and biases; None: not used.
        history: adds to vectors; None: not used.
    """

    def __init__(
        self,
        embedding: nn.Embedding,
        bias: nn.Embedding,
        features: FeatureEncoder | None = None,
        history: HistoryEncoder | None = None,
    ) -> None:
        super().__init__()
        self.embedding, self.bias, self.features, self.history = embedding, bias, features, history

    def forward(self, index: Tensor, partner: Tensor) -> tuple[Tensor, Tensor]:
        """Return vectors (B, d) and biases (B, 1) for training.

        Args:
            index: indices (B,).
            partner: indices of the other side (B,), whose ratings are left out of the history.
        """
        vectors, biases = self.embedding(index), self.bias(index)
        if self.features is not None:
            more, more_biases = self.features(index)
            vectors, biases = vectors + more, biases + more_biases
        if self.history is not None:
            vectors = vectors + self.history(index, partner)
        return vectors, biases

    @torch.no_grad()
    def table(self) -> Table:
        """Return vectors (n, d) and biases (n, 1) of all, from all training ratings."""
        vectors, biases = self.embedding.weight, self.bias.weight
        if self.features is not None:
            more, more_biases = self.features()
            if self.history is not None:
                more = more + self.history.all_users()
            return Table(vectors + more, biases + more_biases)
        return Table(vectors if self.history is None else vectors + self.history.all_users(), biases)
