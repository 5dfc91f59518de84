"""Encoders: what a user's or an item's vector is the sum of: id embedding, rating history, features."""

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recsys.data.biases import USER_DAMPING
from recsys.models.scorer import Table
from recsys.models.user_ratings import RatingLists, Sums, UserRatings


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
        self._lists: RatingLists | None = None
        self._placed: UserRatings | None = None  # the same ratings on the device of the weights

    def set_ratings(self, users: NDArray, items: NDArray, residuals: NDArray, n_users: int) -> None:
        """Take the training ratings: user indices, item indices and residuals, all (n,)."""
        self._lists = RatingLists.of(users, items, residuals, n_users, self.n_items)
        self._placed = None

    @property
    def ratings(self) -> UserRatings:
        """The training ratings, on the device of the weights.

        Raises:
            RuntimeError: they are not set.
        """
        if self._lists is None:
            raise RuntimeError("no rating history: call network.setup_from_data(dataset, split.train) first")
        if self._placed is None or self._placed.device != self.liked.weight.device:
            self._placed = self._lists.on(self.liked.weight.device)
        return self._placed

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Return h of users (B,), each without the item (B,) in question: (B, d)."""
        ratings = self.ratings
        sums = ratings.sums(users, self.chosen.weight, self.liked.weight)
        is_rated, own_residual = ratings.of_pairs(users, items)
        x = self.liked(items)
        others = Sums(
            sums.chosen - is_rated * self.chosen(items),
            sums.liked - is_rated * x,
            sums.weighted - own_residual * x,
            sums.residual - own_residual,
            sums.n_ratings - is_rated,
        )
        return _combine(others)

    @torch.no_grad()
    def all_users(self) -> Tensor:
        """Return h of all users from all their ratings, the mean for users without any: (n_users, d)."""
        ratings = self.ratings
        users = torch.arange(len(ratings.counts), device=ratings.device)
        tables = self.chosen.weight, self.liked.weight
        chunks = users.split(ratings.users_per_chunk)
        vectors = torch.cat([_combine(ratings.sums(some, *tables)) for some in chunks])
        vectors[ratings.counts == 0] = vectors[ratings.counts > 0].mean(0)
        return vectors


def _combine(sums: Sums) -> Tensor:
    """Return h of users from the sums over their ratings: (U, d)."""
    bias = sums.residual / (USER_DAMPING + sums.n_ratings)
    return (sums.chosen + sums.weighted - bias * sums.liked) / sums.n_ratings.clamp_min(1).sqrt()


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
