"""The average of several networks, which is a network too."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from recsys.models.base import RatingNetwork
from recsys.models.ops.all_pairs import Precision


class Ensemble(RatingNetwork):
    """rating = mean of the members' ratings (Huang et al. 2017, Snapshot Ensembles: train 1, get M for free).

    Args:
        members: networks of the same users, items and scale; nothing is copied.
    """

    def __init__(self, members: Sequence[RatingNetwork]) -> None:
        first = members[0]
        super().__init__(first.n_users, first.n_items, first.scale, first.mean)
        self.rates = first.rates
        self.members = nn.ModuleList(members)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Ratings of pairs: (B,) and (B,) to (B,)."""
        return torch.stack([member(users, items) for member in self.members]).mean(0)

    @torch.no_grad()
    def score(self, users: Tensor, precision: Precision = "fp32") -> Tensor:
        """Every item's rating: (B,) to (B, n_items)."""
        first, *others = self._networks
        total = first.score(users, precision)
        for member in others:
            total += member.score(users, precision)
        return total.div_(len(self.members))

    def tables(self, side: str) -> dict[str, nn.Embedding]:
        """The embeddings of one side of all members, by `members.<number>.<attribute>`."""
        return {
            f"members.{number}.{name}": table
            for number, member in enumerate(self._networks)
            for name, table in member.tables(side).items()
        }

    @torch.no_grad()
    def vectors(self, side: str) -> Tensor | None:
        """Those of all members, side by side: (n, sum of d)."""
        found = [vectors for member in self._networks if (vectors := member.vectors(side)) is not None]
        return torch.cat(found, dim=1) if found else None

    def with_users(self, rows: Mapping[str, Tensor]) -> "Ensemble":
        """This ensemble for other users; see `RatingNetwork.with_users`."""
        return Ensemble(
            [
                member.with_users({name: rows[f"members.{number}.{name}"] for name in member.tables("user")})
                for number, member in enumerate(self._networks)
            ]
        )

    @property
    def _networks(self) -> list[RatingNetwork]:
        return list(self.members)  # type: ignore[arg-type]


def average(networks: Sequence[RatingNetwork]) -> RatingNetwork:
    """Their `Ensemble`; of a single one, itself."""
    return Ensemble(networks) if len(networks) > 1 else networks[0]
