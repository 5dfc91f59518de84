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
        self._users: dict[str, Tensor] = {}  # tables of other users, by the parameter that they replace

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the network's outputs: (B,) and (B,) to (B,)."""
        if not self._users:
            return self.network(users, items)
        return torch.func.functional_call(self.network, self._users, (users, items))

    def vectors(self, side: Side) -> Tensor | None:
        """Return the network's embeddings of more than one column side by side, (n, d)."""
        wide = [weight for weight in self._weights(side).values() if weight.shape[1] > 1]
        return torch.cat(wide, dim=1) if wide else None

    def user_table(self) -> Tensor:
        """Return all user embeddings side by side, (n_users, w)."""
        return torch.cat(list(self._weights("user").values()), dim=1)

    def with_users(self, table: Tensor) -> "NetworkScorer":
        """Return this scorer for other users; see `Scorer.with_users`."""
        other = copy.copy(self)
        weights = self._weights("user")
        parts = table.split([weight.shape[1] for weight in weights.values()], dim=1)
        other._users = dict(zip(weights, parts, strict=True))
        other.n_users = len(table)
        return other

    def _weights(self, side: Side) -> dict[str, Tensor]:
        """Return the embeddings of one side by parameter name; those of other users, if there are."""
        if side == "user" and self._users:
            return self._users
        names = {id(parameter): name for name, parameter in self.network.named_parameters()}
        tables: dict[str, nn.Embedding] = self.network.tables(side)  # type: ignore[operator]
        return {names[id(table.weight)]: table.weight for table in tables.values()}
