"""The scorer of a network that does not say how to build a faster one."""

import copy

import torch
from torch import Tensor, nn

from recsys.models.scorer import Scorer, Side


class NetworkScorer(Scorer):
    """A copy of a network of any kind, which keeps its users in `nn.Embedding`s named `user_...`.

    Args:
        network: a `RatingNetwork`; it is copied.
        predicts_ratings: see `Scorer`.
    """

    def __init__(self, network: nn.Module, predicts_ratings: bool = True) -> None:
        super().__init__(network.n_users, network.n_items, network.scale, predicts_ratings)  # type: ignore[arg-type]
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self._users: dict[
            str, Tensor
        ] = {}  # tables of other users, by the name of the parameter they replace

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the network's outputs: (B,) and (B,) to (B,)."""
        if not self._users:
            return self.network(users, items)
        return torch.func.functional_call(self.network, self._users, (users, items))

    def vectors(self, side: Side) -> Tensor | None:
        """Return the network's embeddings of more than one column side by side, (n, d)."""
        wide = [table.weight for table in self._tables(side).values() if table.embedding_dim > 1]
        return torch.cat(wide, dim=1) if wide else None

    def user_table(self) -> Tensor:
        """Return all user embeddings side by side, (n_users, w)."""
        return torch.cat([table.weight for table in self._tables("user").values()], dim=1)

    def with_users(self, table: Tensor) -> "NetworkScorer":
        """Return this scorer for other users; see `Scorer.with_users`."""
        other = copy.copy(self)
        tables = self._tables("user")
        widths = [embedding.embedding_dim for embedding in tables.values()]
        names = [f"{name}.weight" for name in tables]
        other._users = dict(zip(names, table.split(widths, dim=1), strict=True))
        other.n_users = len(table)
        return other

    def _tables(self, side: Side) -> dict[str, nn.Embedding]:
        return self.network.tables(side)  # type: ignore[operator]
