"""TableScorer: tables of vectors and biases, an MLP and a head."""

import copy
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from recsys.models.heads import OrdinalHead
from recsys.models.ops.all_pairs import all_pairs
from recsys.models.ops.mlp import MLP
from recsys.models.scorer import Precision, Scorer, Side


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
    ) -> None:
        super().__init__(len(users.parts[0]), len(items.parts[0]), scale, predicts_ratings)
        self.register_buffer("user_vectors", users.vectors)
        self.register_buffer("user_biases", users.biases)
        self.register_buffer("item_vectors", items.vectors)
        self.register_buffer("item_biases", items.biases)
        self.head, self.mlp, self.dot = head, mlp, dot

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
    ) -> "TableScorer":
        """Build a scorer from copies, which later training does not change; see the class for arguments."""
        users, items = (
            Table(*(None if part is None else part.detach().clone() for part in table))
            for table in (users, items)
        )
        head, mlp = copy.deepcopy((head, mlp))
        scorer = cls(users, items, head, scale, predicts_ratings, dot, mlp)
        return scorer.eval().requires_grad_(False)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Return unclipped ratings: (B,) and (B,) to (B,)."""
        return self.head(self.logits(users, items))

    @torch.no_grad()
    def score_catalogue(self, users: Tensor, precision: Precision = "fp32") -> Tensor:
        """Return every item's rating for each user, unclipped: (B,) to (B, n_items)."""
        return self.head(self.catalogue_logits(users, precision))

    def relevance(self, users: Tensor, items: Tensor, threshold: float) -> Tensor | None:
        """Return P(rating >= threshold): (B,) and (B,) to (B,); None if the head is not ordinal."""
        if not isinstance(self.head, OrdinalHead):
            return None
        return self.head.log_relevance(self.logits(users, items), threshold).exp()

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

    def user_table(self) -> Tensor:
        """Return vectors and bias of each user side by side, (n_users, w)."""
        return torch.cat(self._users.parts, dim=1)

    def item_table(self) -> Tensor:
        """Return vectors and bias of each item side by side, (n_items, w)."""
        return torch.cat(self._items.parts, dim=1)

    def with_users(self, table: Tensor) -> "TableScorer":
        """Return this scorer for other users; see `Scorer.with_users`."""
        return self._with(_like(self._users, table), self._items)

    def with_items(self, table: Tensor) -> "TableScorer":
        """Return this scorer for other items; see `Scorer.with_items`."""
        return self._with(self._users, _like(self._items, table))

    def _with(self, users: Table, items: Table) -> "TableScorer":
        kind = self.predicts_ratings, self.dot, self.mlp
        return TableScorer(users, items, self.head, self.scale, *kind)

    @property
    def _users(self) -> Table:
        return Table(self.user_vectors, self.user_biases)

    @property
    def _items(self) -> Table:
        return Table(self.item_vectors, self.item_biases)


def _like(table: Table, rows: Tensor) -> Table:
    """Return vectors and biases from rows that have them side by side, as in a table."""
    width = 0 if table.vectors is None else table.vectors.shape[1]
    vectors, biases = rows[:, :width], rows[:, width:]
    return Table(None if table.vectors is None else vectors, None if table.biases is None else biases)
