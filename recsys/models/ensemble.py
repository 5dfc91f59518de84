"""The average of several scorers, which is a scorer too."""

from collections.abc import Iterable, Sequence
from functools import cached_property

import torch
from torch import Tensor, nn

from recsys.models.scorer import Precision, Scorer, Side


class EnsembleScorer(Scorer):
    """The mean of several scorers' outputs (Huang et al. 2017, Snapshot Ensembles: train 1, get M for free).

    Args:
        members: scorers of the same users, items and scale; nothing is copied.
    """

    def __init__(self, members: Sequence[Scorer]) -> None:
        first = members[0]
        super().__init__(first.n_users, first.n_items, first.scale, first.predicts_ratings)
        self.members = nn.ModuleList(members)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the mean output: (B,) and (B,) to (B,)."""
        return torch.stack([member(users, items) for member in self.members]).mean(0)

    @torch.no_grad()
    def score_catalogue(self, users: Tensor, precision: Precision = "fp32") -> Tensor:
        """Return the mean score of every item: (B,) to (B, n_items)."""
        first, *others = self._scorers
        total = first.score_catalogue(users, precision)
        for member in others:
            total += member.score_catalogue(users, precision)
        return total.div_(len(self.members))

    def deviations(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the standard deviation of the members' outputs: (B,) and (B,) to (B,)."""
        return torch.stack([member.predict(users, items) for member in self._scorers]).std(0)

    def relevance(self, users: Tensor, items: Tensor, threshold: float) -> Tensor | None:
        """Return the mean of the members' P(rating >= threshold): (B,) and (B,) to (B,); None if one has none."""
        found = [member.relevance(users, items, threshold) for member in self._scorers]
        probabilities = [one for one in found if one is not None]
        return torch.stack(probabilities).mean(0) if len(probabilities) == len(found) else None

    def ranker(self, choice_rows: Tensor | None = None) -> Scorer:
        """Return the mean of the members' rankers; if a member has none of its own, this scorer."""
        parts = [None] * len(self.members) if choice_rows is None else self._split(choice_rows)
        rankers = [member.ranker(part) for member, part in zip(self._scorers, parts, strict=True)]
        if any(ranker is member for ranker, member in zip(rankers, self._scorers, strict=True)):
            return self
        return EnsembleScorer(rankers)

    def choice_scorer(self) -> Scorer | None:
        """Return the mean of the members' choice scorers; None if a member has none."""
        scorers = [member.choice_scorer() for member in self._scorers]
        found = [scorer for scorer in scorers if scorer is not None]
        return EnsembleScorer(found) if len(found) == len(scorers) else None

    def vectors(self, side: Side) -> Tensor | None:
        """Return the vectors of all members side by side, (n, sum of d)."""
        return _concatenated(member.vectors(side) for member in self._scorers)

    def user_table(self) -> Tensor:
        """Return the user tables of all members side by side, (n_users, sum of w)."""
        return torch.cat([member.user_table() for member in self._scorers], dim=1)

    def with_users(self, table: Tensor) -> "EnsembleScorer":
        """Return this ensemble for other users; see `Scorer.with_users`."""
        parts = zip(self._scorers, self._split(table), strict=True)
        return EnsembleScorer([member.with_users(part) for member, part in parts])

    def item_table(self) -> Tensor:
        """Return the item tables of all members side by side, (n_items, sum of w)."""
        return torch.cat([member.item_table() for member in self._scorers], dim=1)

    def with_items(self, table: Tensor) -> "EnsembleScorer":
        """Return this ensemble for other items; see `Scorer.with_items`."""
        parts = zip(self._scorers, table.split(self._item_widths, dim=1), strict=True)
        return EnsembleScorer([member.with_items(part) for member, part in parts])

    def _split(self, table: Tensor) -> Sequence[Tensor]:
        return table.split(self._user_widths, dim=1)

    @cached_property
    def _user_widths(self) -> list[int]:
        """Columns of each member's user table; cached, since making the tables of many users is slow."""
        return [member.user_table().shape[1] for member in self._scorers]

    @cached_property
    def _item_widths(self) -> list[int]:
        return [member.item_table().shape[1] for member in self._scorers]

    @property
    def _scorers(self) -> list[Scorer]:
        return list(self.members)  # type: ignore[arg-type]


def average(scorers: Sequence[Scorer]) -> Scorer:
    """Return the ensemble of several scorers, or the only one."""
    return EnsembleScorer(scorers) if len(scorers) > 1 else scorers[0]


def _concatenated(tables: Iterable[Tensor | None]) -> Tensor | None:
    found = [table for table in tables if table is not None]
    return torch.cat(found, dim=1) if found else None
