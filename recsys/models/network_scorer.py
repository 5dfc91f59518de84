"""The scorer of a network that does not say how to build a faster one."""

import copy

import torch
from torch import Tensor, nn

from recsys.models.scorer import Scorer, Side


class NetworkScorer(Scorer):
    """A copy of a network of any kind, with its users and items in `nn.Embedding`s named `user_...` and `item_...`.

    Args:
        network: a `RatingNetwork`; it is copied.
        predicts_ratings: see `Scorer`.
    """

    def __init__(self, network: nn.Module, predicts_ratings: bool = True) -> None:
        super().__init__(network.n_users, network.n_items, network.scale, predicts_ratings)  # type: ignore[arg-type]
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        # Tables of other users or items, by the parameter that they replace.
        self._replaced: dict[Side, dict[str, Tensor]] = {"user": {}, "item": {}}

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the network's outputs: (B,) and (B,) to (B,)."""
        replaced = self._replaced["user"] | self._replaced["item"]
        if not replaced:
            return self.network(users, items)
        return torch.func.functional_call(self.network, replaced, (users, items))

    def vectors(self, side: Side) -> Tensor | None:
        """Return the network's embeddings of more than one column side by side, (n, d)."""
        wide = [weight for weight in self._weights(side).values() if weight.shape[1] > 1]
        return torch.cat(wide, dim=1) if wide else None

    def user_table(self) -> Tensor:
        """Return all user embeddings side by side, (n_users, w)."""
        return torch.cat(list(self._weights("user").values()), dim=1)

    def with_users(self, table: Tensor) -> "NetworkScorer":
        """Return this scorer for other users; see `Scorer.with_users`."""
        other = self._with("user", table)
        other.n_users = len(table)
        return other

    def item_table(self) -> Tensor:
        """Return all item embeddings side by side, (n_items, w)."""
        return torch.cat(list(self._weights("item").values()), dim=1)

    def with_items(self, table: Tensor) -> "NetworkScorer":
        """Return this scorer for other items; see `Scorer.with_items`."""
        other = self._with("item", table)
        other.n_items = len(table)
        return other

    def _with(self, side: Side, table: Tensor) -> "NetworkScorer":
        other = copy.copy(self)
        weights = self._weights(side)
        parts = table.split([weight.shape[1] for weight in weights.values()], dim=1)
        other._replaced = {**self._replaced, side: dict(zip(weights, parts, strict=True))}
        return other

    def _weights(self, side: Side) -> dict[str, Tensor]:
        """Return the embeddings of one side by parameter name; those of other users or items, if there are."""
        if self._replaced[side]:
            return self._replaced[side]
        names = {id(parameter): name for name, parameter in self.network.named_parameters()}
        tables: dict[str, nn.Embedding] = self.network.tables(side)  # type: ignore[operator]
        return {names[id(table.weight)]: table.weight for table in tables.values()}
