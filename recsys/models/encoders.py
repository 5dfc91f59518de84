"""Encoders: what a user's or an item's vector is the sum of: id embedding, rating history, features."""

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recsys.data.biases import damped_means
from recsys.errors import ConfigError
from recsys.models.histories import Histories, HistoryLists, Sums
from recsys.models.table_scorer import Table

# Which terms are added up: id embeddings, what the rated items (or the raters) contribute, what features contribute.
Terms = dict[Literal["id", "history", "features"], bool]


class HistoryEncoder(nn.Module):
    """Vectors of users from the items that they rated; or of items, from the users who rated them.

    A vector is |R|^-1/2 sum over j in R of (y_j + (r_j - mean - b_j - b) x_j). For a user, R is the set of items that
    they rated in the training set, b_j is the item's bias, and b the damped mean of the remaining residuals over R
    (Koren 2008, Factorization Meets the Neighborhood: SVD++ with the explicit term of its asymmetric form). For an
    item, R is the set of its raters, and b_j the user's bias.

    The rating in question, the target of a prediction, is left out of R, also where b is computed: a mean that contains
    it would leak it.

    Args:
        n_columns: number of items in the histories of users, or of users in those of items.
        dim: length d of the vectors.
        init_std: initial standard deviation of y and x.
        damping: number of additional residuals of 0 in b.
        column_damping: the same for b_j, the damped mean of r - mean over all ratings of j.
    """

    def __init__(
        self, n_columns: int, dim: int, init_std: float, damping: float, column_damping: float
    ) -> None:
        super().__init__()
        self.n_columns, self.damping, self.column_damping = n_columns, damping, column_damping
        self.chosen = nn.Embedding(n_columns, dim)  # y: that an item was rated at all
        self.liked = nn.Embedding(n_columns, dim)  # x: how it was rated
        nn.init.normal_(self.chosen.weight, std=init_std)
        nn.init.normal_(self.liked.weight, std=init_std)
        # Not a buffer: DDP would broadcast the ratings in every step, and averaged models would copy them.
        self.lists: HistoryLists | None = None
        self.column_biases = torch.zeros(n_columns)  # b_j
        self.column_counts = torch.zeros(n_columns)  # number of ratings of each column

    def set_ratings(self, rows: NDArray, columns: NDArray, deviations: NDArray, n_rows: int) -> None:
        """Take the training ratings.

        b_j is a mean over the ratings of j, not fitted jointly with the biases of the rows. So it depends on no other
        ratings: for a pair (u, i), no b_j with j other than i contains the rating in question.

        Args:
            rows: whose histories these are: user (or item) indices (n,).
            columns: item (or user) indices (n,).
            deviations: ratings minus the mean (n,).
            n_rows: number of users (or items).
        """
        biases = damped_means(columns, deviations, self.n_columns, self.column_damping)
        self.lists = HistoryLists.of(rows, columns, deviations - biases[columns], n_rows, self.n_columns)
        self.column_biases = torch.from_numpy(biases).float()
        self.column_counts = torch.from_numpy(np.bincount(columns, minlength=self.n_columns)).float()

    @property
    def ratings(self) -> Histories:
        """The training ratings, on the device of the weights.

        Raises:
            RuntimeError: they are not set.
        """
        if self.lists is None:
            raise RuntimeError("no rating history: call network.setup_from_data(dataset, split.train) first")
        return self.lists.on(self.liked.weight.device)

    def forward(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Return vectors (B, d) of rows (B,), each without the column (B,) in question."""
        ratings = self.ratings
        sums = ratings.sums(rows, self.chosen.weight, self.liked.weight)
        is_rated, own_residual = ratings.of_pairs(rows, columns)
        x = self.liked(columns)
        others = Sums(
            sums.chosen - is_rated * self.chosen(columns),
            sums.liked - is_rated * x,
            sums.weighted - own_residual * x,
            sums.residual - own_residual,
            sums.n_ratings - is_rated,
        )
        return self._combine(others)

    @torch.no_grad()
    def all_vectors(self) -> Tensor:
        """Return vectors (n, d) from all ratings; without ratings, the mean of the others."""
        ratings = self.ratings
        rows = torch.arange(len(ratings.counts), device=ratings.device)
        tables = self.chosen.weight, self.liked.weight
        chunks = rows.split(ratings.rows_per_chunk)
        vectors = torch.cat([self._combine(ratings.sums(some, *tables)) for some in chunks])
        is_empty = ratings.counts == 0
        vectors[is_empty] = vectors[~is_empty].mean(0)
        return vectors

    def _combine(self, sums: Sums) -> Tensor:
        """Return vectors (B, d) from sums over ratings."""
        bias = sums.residual / (self.damping + sums.n_ratings)
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
    """Vector and bias of a user or an item. The vector is the sum of the terms that are not None, at least one.

    Args:
        bias: id biases (n, 1).
        embedding: id embeddings (n, dim).
        features: adds to the biases, too.
        history: vectors from the ratings of the user or the item.

    Raises:
        ConfigError: there is no term.
    """

    def __init__(
        self,
        bias: nn.Embedding,
        embedding: nn.Embedding | None = None,
        features: FeatureEncoder | None = None,
        history: HistoryEncoder | None = None,
    ) -> None:
        super().__init__()
        self.embedding, self.bias, self.features, self.history = embedding, bias, features, history
        if embedding is None and features is None and history is None:
            raise ConfigError("a user or an item needs a vector: set one of id, history and features to true")

    def forward(self, index: Tensor, partner: Tensor) -> tuple[Tensor, Tensor]:
        """Return vectors (B, d) and biases (B, 1) for training.

        Args:
            index: indices (B,).
            partner: indices of the other side (B,), whose ratings are left out of the history.
        """
        vectors, biases = self.without_history(index)
        if self.history is not None:
            vectors.append(self.history(index, partner))
        return sum(vectors[1:], vectors[0]), biases

    @torch.no_grad()
    def table(self) -> Table:
        """Return vectors (n, d) and biases (n, 1) of all, from all training ratings."""
        vectors, biases = [], self.bias.weight
        if self.embedding is not None:
            vectors.append(self.embedding.weight)
        if self.features is not None:
            of_features, more = self.features()
            vectors.append(of_features)
            biases = biases + more
        if self.history is not None:
            vectors.append(self.history.all_vectors())
        return Table(sum(vectors[1:], vectors[0]), biases)

    def without_history(self, index: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the vectors (B, d) to add up, without that of the history, and the biases (B, 1)."""
        vectors, biases = [], self.bias(index)
        if self.embedding is not None:
            vectors.append(self.embedding(index))
        if self.features is not None:
            of_features, more = self.features(index)
            vectors.append(of_features)
            biases = biases + more
        return vectors, biases
