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

    def ranker(self) -> Scorer:
        """Return the mean of the members' rankers; without a ranker of its own in each member, this scorer."""
        rankers = [member.ranker() for member in self._scorers]
        if any(ranker is member for ranker, member in zip(rankers, self._scorers, strict=True)):
            return self
        return EnsembleScorer(rankers)

    def vectors(self, side: Side) -> Tensor | None:
        """Return the vectors of all members side by side, (n, sum of d)."""
        return _concatenated(member.vectors(side) for member in self._scorers)

    def user_table(self) -> Tensor:
        """Return the user tables of all members side by side, (n_users, sum of w)."""
        return torch.cat([member.user_table() for member in self._scorers], dim=1)

    def with_users(self, table: Tensor) -> "EnsembleScorer":
        """Return this ensemble for other users; see `Scorer.with_users`."""
        parts = table.split(self._user_widths, dim=1)
        return EnsembleScorer(
            [member.with_users(part) for member, part in zip(self._scorers, parts, strict=True)]
        )

    @cached_property
    def _user_widths(self) -> list[int]:
        """Columns of each member's user table; cached, since making the tables of many users is slow."""
        return [member.user_table().shape[1] for member in self._scorers]

    @property
    def _scorers(self) -> list[Scorer]:
        return list(self.members)  # type: ignore[arg-type]


def average(scorers: Sequence[Scorer]) -> Scorer:
    """Return the ensemble of several scorers, or the only one."""
    return EnsembleScorer(scorers) if len(scorers) > 1 else scorers[0]


def _concatenated(tables: Iterable[Tensor | None]) -> Tensor | None:
    found = [table for table in tables if table is not None]
    return torch.cat(found, dim=1) if found else None
