"""Scorers: the part of a network that predicts, a plain module of tables, MLP and head.

Evaluation, ranking, fold-in, export and checkpoints use scorers only. A scorer owns copies of its tensors, needs
no training data, and behaves the same in train and eval mode except for dropout, which its constructor turns off.
"""

import copy
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from recsys.models.ops.all_pairs import all_pairs
from recsys.models.ops.mlp import MLP

Side = Literal["user", "item"]
Precision = Literal["fp32", "bf16", "int8"]
PAIRS_PER_CHUNK = 1 << 16  # of a catalogue's scores computed at once: small enough for a processor's cache
GPU_PAIRS_PER_CHUNK = 1 << 22


class Scorer(nn.Module):
    """Scores user-item pairs and full catalogues.

    A subclass implements `forward`, `user_table` and `with_users`, and overrides `score_catalogue` where a full
    catalogue costs less than all its pairs.

    Args:
        n_users: number of users.
        n_items: number of items.
        scale: the lowest and the highest rating.
        predicts_ratings: whether outputs are on the rating scale. If not, they only order one user's items.
    """

    def __init__(
        self, n_users: int, n_items: int, scale: Sequence[float], predicts_ratings: bool = True
    ) -> None:
        super().__init__()
        self.n_users, self.n_items = n_users, n_items
        self.scale = (float(scale[0]), float(scale[1]))
        self.predicts_ratings = predicts_ratings

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Return unclipped scores: user indices (B,) and item indices (B,) to float32 (B,)."""
        raise NotImplementedError

    def predict(self, users: Tensor, items: Tensor) -> Tensor:
        """Return float32 ratings (B,) clipped to the scale, or raw scores if these are not ratings."""
        return self.clipped(self.unclipped(users, items))

    def unclipped(self, users: Tensor, items: Tensor) -> Tensor:
        """Return float32 outputs (B,), computed in float32 also within autocast."""
        with torch.autocast(users.device.type, enabled=False):
            return self(users, items).float()

    def clipped(self, outputs: Tensor) -> Tensor:
        """Return ratings clipped to the scale, and scores that are not ratings as they are."""
        return outputs.clamp(*self.scale) if self.predicts_ratings else outputs

    @torch.no_grad()
    def score_catalogue(self, users: Tensor, precision: Precision = "fp32") -> Tensor:
        """Return every item's score for each user: user indices (B,) to float32 (B, n_items), unclipped.

        Clipping would only create ties, so rankings use raw scores.

        Args:
            users: user indices.
            precision: of the matrix products; "int8" affects an MLP only and needs a CPU with VNNI.
        """
        every = torch.arange(self.n_items, dtype=users.dtype, device=users.device)
        scores = torch.empty(len(users), self.n_items, device=users.device)
        pairs_per_chunk = PAIRS_PER_CHUNK if users.device.type == "cpu" else GPU_PAIRS_PER_CHUNK
        chunk = max(1, pairs_per_chunk // max(1, len(users)))
        for items, out in zip(every.split(chunk), scores.split(chunk, dim=1), strict=True):
            pairs = users.repeat_interleave(len(items)), items.repeat(len(users))
            out.copy_(self(*pairs).view(len(users), len(items)))
        return scores

    def deviations(self, users: Tensor, items: Tensor) -> Tensor | None:
        """Return by how much the networks that are averaged disagree: (B,) and (B,) to (B,).

        Returns:
            The standard deviation of their outputs, clipped to the scale; None if there is only one network.
        """
        return None

    def ranker(self, choosers: Tensor | None = None) -> "Scorer":
        """Return a scorer whose scores order the items that are recommended to a user; by default, this one.

        Args:
            choosers: the users in what says which items they choose, (n_users, w) as in `user_table`; None: as in this
                scorer. Scorers that do not tell choices from ratings do not use it.
        """
        return self

    def encode_user(self, items: Tensor, ratings: Tensor) -> Tensor | None:
        """Return a new user's row of `user_table`, (w,), computed from ratings without a search.

        Args:
            items: item indices (n,).
            ratings: their ratings (n,).

        Returns:
            The row; None if the network does not encode the ratings of a user.
        """
        return None

    def vectors(self, side: Side) -> Tensor | None:
        """Return the embedding vectors of all users or items, (n, d); None if there are only biases."""
        return None

    def biases(self, side: Side) -> Tensor | None:
        """Return the biases of all users or items in rating points, (n,); None if there are none."""
        return None

    def user_table(self) -> Tensor:
        """Return all that describes each user, (n_users, w): the space in which fold-in searches."""
        raise NotImplementedError

    def with_users(self, table: Tensor) -> "Scorer":
        """Return this scorer for other users, (m, w) as in `user_table`; all else is shared, not copied.

        Gradients flow back to `table`.
        """
        raise NotImplementedError

    @property
    def device(self) -> torch.device:
        """The device of the tables."""
        return next(tensor.device for tensor in (*self.parameters(), *self.buffers()))


class Table(NamedTuple):
    """The vectors (n, d) and biases (n, 1) of all users, or of all items; one of the two may be None."""

    vectors: Tensor | None
    biases: Tensor | None

    @property
    def parts(self) -> list[Tensor]:
        """The vectors and biases, without missing ones."""
        return [part for part in self if part is not None]


class TableScorer(Scorer):
    """score = b_u + b_i + p_u . q_i + MLP([p_u; q_i]), as far as these terms exist, through a head.

    Args:
        users: vectors and biases of all users.
        items: vectors and biases of all items.
        head: from scores to ratings.
        scale: the lowest and the highest rating.
        predicts_ratings: see `Scorer`.
        dot: whether the dot product is a term.
        mlp: the MLP, in eval mode; None: not a term.
        new_users: encodes the ratings of new users: called with item indices (n,) and ratings (n,), returns (w,).
    """

    user_vectors: Tensor | None
    user_biases: Tensor | None
    item_vectors: Tensor | None
    item_biases: Tensor | None

    def __init__(
        self,
        users: Table,
        items: Table,
        head: nn.Module,
        scale: Sequence[float],
        predicts_ratings: bool = True,
        dot: bool = True,
        mlp: MLP | None = None,
        new_users: nn.Module | None = None,
    ) -> None:
        super().__init__(len(users.parts[0]), len(items.parts[0]), scale, predicts_ratings)
        self.register_buffer("user_vectors", users.vectors)
        self.register_buffer("user_biases", users.biases)
        self.register_buffer("item_vectors", items.vectors)
        self.register_buffer("item_biases", items.biases)
        self.head, self.mlp, self.dot, self.new_users = head, mlp, dot, new_users

    @classmethod
    def copy_of(
        cls,
        users: Table,
        items: Table,
        head: nn.Module,
        scale: Sequence[float],
        predicts_ratings: bool,
        dot: bool = True,
        mlp: MLP | None = None,
        new_users: nn.Module | None = None,
    ) -> "TableScorer":
        """Build a scorer from copies, which later training does not change; see the class for arguments."""
        users, items = (
            Table(*(None if part is None else part.detach().clone() for part in table))
            for table in (users, items)
        )
        head, mlp, new_users = copy.deepcopy((head, mlp, new_users))
        scorer = cls(users, items, head, scale, predicts_ratings, dot, mlp, new_users)
        return scorer.eval().requires_grad_(False)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Return unclipped ratings: (B,) and (B,) to (B,)."""
        return self.head(self.logits(users, items))

    @torch.no_grad()
    def score_catalogue(self, users: Tensor, precision: Precision = "fp32") -> Tensor:
        """Return every item's rating for each user, unclipped: (B,) to (B, n_items)."""
        return self.head(self.catalogue_logits(users, precision))

    def logits(self, users: Tensor, items: Tensor) -> Tensor:
        """Return scores, which the head converts to ratings: (B,) and (B,) to (B,)."""
        terms: list[Tensor] = []
        if self.user_biases is not None and self.item_biases is not None:
            biases = functional.embedding(users, self.user_biases) + functional.embedding(
                items, self.item_biases
            )
            terms.append(biases.squeeze(-1))
        if self.user_vectors is not None and self.item_vectors is not None:
            user, item = (
                functional.embedding(users, self.user_vectors),
                functional.embedding(items, self.item_vectors),
            )
            if self.dot:
                terms.append((user * item).sum(-1))
            if self.mlp is not None:
                terms.append(self.mlp(torch.cat([user, item], dim=1)).squeeze(-1))
        return sum(terms[1:], terms[0]).float()

    @torch.no_grad()
    def catalogue_logits(self, users: Tensor, precision: Precision = "fp32") -> Tensor:
        """Return the scores of every item, which the head converts to ratings: (B,) to (B, n_items)."""
        scores: Tensor | None = None
        vectors = None if self.user_vectors is None else functional.embedding(users, self.user_vectors)
        biases = None if self.user_biases is None else functional.embedding(users, self.user_biases)
        with torch.autocast(users.device.type, torch.bfloat16, enabled=precision == "bf16"):
            if self.dot and vectors is not None and self.item_vectors is not None:
                if self.item_biases is None:
                    product = vectors @ self.item_vectors.T
                else:
                    product = torch.addmm(self.item_biases.T, vectors, self.item_vectors.T)
                scores = product.float() if biases is None else product.float().add_(biases)
            elif biases is not None and self.item_biases is not None:
                scores = biases + self.item_biases.T
            if self.mlp is not None and vectors is not None and self.item_vectors is not None:
                outputs = all_pairs(
                    self.mlp, vectors, self.item_vectors, "int8" if precision == "int8" else "fp32"
                )
                scores = outputs if scores is None else scores.add_(outputs)
        assert scores is not None
        return scores

    def vectors(self, side: Side) -> Tensor | None:
        """Return the vectors of all users or items, (n, d); None if there are only biases."""
        return self.user_vectors if side == "user" else self.item_vectors

    def biases(self, side: Side) -> Tensor | None:
        """Return the biases in rating points, (n,); None if there are none or the head is not additive."""
        biases = self.user_biases if side == "user" else self.item_biases
        return biases.squeeze(1) if biases is not None and getattr(self.head, "additive", False) else None

    def encode_user(self, items: Tensor, ratings: Tensor) -> Tensor | None:
        """Return a new user's row, computed from ratings; see `Scorer.encode_user`."""
        return None if self.new_users is None else self.new_users(items, ratings)

    def user_table(self) -> Tensor:
        """Return vectors and bias of each user side by side, (n_users, w)."""
        return torch.cat(Table(self.user_vectors, self.user_biases).parts, dim=1)

    def with_users(self, table: Tensor) -> "TableScorer":
        """Return this scorer for other users; see `Scorer.with_users`."""
        width = 0 if self.user_vectors is None else self.user_vectors.shape[1]
        users = Table(
            None if self.user_vectors is None else table[:, :width],
            None if self.user_biases is None else table[:, width:],
        )
        items = Table(self.item_vectors, self.item_biases)
        kind = self.predicts_ratings, self.dot, self.mlp, self.new_users
        return TableScorer(users, items, self.head, self.scale, *kind)
