"""RatingNetwork: what every network here has in common."""

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from recsys.data.dataset import Dataset
from recsys.data.splits import Rows
from recsys.models.heads import Head, Ordinal, make_head
from recsys.models.ops.all_pairs import Precision

PAIRS_AT_ONCE = 1 << 16  # of a catalogue's scores in one piece: few enough for a processor's cache


class RatingNetwork(nn.Module):
    """A network from user rows and item rows to ratings.

    A subclass implements `logits`, or `forward` where the heads do not suit it, and keeps one row per user in
    `nn.Embedding`s whose attribute names start with `user_`, one row per item in those that start with
    `item_`. That is the whole contract: training, cold rows, checkpoints, recommending and fold-in rest on
    it. Where the ratings of a whole catalogue can be had for less than all pairs cost, it overrides `score`
    as well; where it needs more of the data than their size, `setup_from_data`.

    Args:
        n_users: how many user rows there are.
        n_items: how many item rows there are.
        scale: the lowest and the highest rating possible.
        mean: the mean rating of the training part.
        levels: the different ratings there are, ascending; needed by head="ordinal".
        head: what makes a rating of a score: "linear" (mean + score), "sigmoid" or "ordinal".
        margin: how far a sigmoid reaches beyond the scale, in rating points.
    """

    def __init__(
        self,
        n_users: int,
        n_items: int,
        scale: Sequence[float],
        mean: float,
        levels: Sequence[float] = (),
        head: Head = "linear",
        margin: float = 0.5,
    ) -> None:
        super().__init__()
        self.n_users, self.n_items = n_users, n_items
        self.scale = (float(scale[0]), float(scale[1]))
        self.mean = float(mean)
        self.rates = True  # False: trained to order items (loss=bpr), its outputs are scores without a scale
        self.head = make_head(head, self.scale, self.mean, levels, margin)

    def logits(self, users: Tensor, items: Tensor) -> Tensor:
        """Scores of pairs, of which the head makes ratings: user rows (B,) and item rows (B,) to (B,)."""
        raise NotImplementedError("a network implements logits(users, items), or forward(users, items)")

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Ratings of pairs: user rows (B,) and item rows (B,) to float32 (B,), not clipped to the scale."""
        return self.head(self.logits(users, items).float())

    def predict(self, users: Tensor, items: Tensor) -> Tensor:
        """Ratings of pairs in float32, clipped to the scale: what metrics and people get; (B,) to (B,).

        Of a network that does not rate, its scores as they are.
        """
        with torch.autocast(users.device.type, enabled=False):
            outputs = self(users, items).float()
            return outputs.clamp(*self.scale) if self.rates else outputs

    def loss(self, users: Tensor, items: Tensor, ratings: Tensor) -> Tensor:
        """What training on ratings minimises; (B,) each, to a scalar.

        The mean squared error, or with head="ordinal" the negative log-likelihood.
        """
        if isinstance(self.head, Ordinal):
            return self.head.loss(self.logits(users, items), ratings)
        return functional.mse_loss(self(users, items), ratings)

    def setup_from_data(self, dataset: Dataset, train: Rows) -> None:
        """Before training: take over what the network needs to know of the data; nothing, unless overridden.

        Args:
            dataset: all ratings, and the items' titles, years and genres.
            train: the rows of the training part; no other rating may be looked at.
        """

    @torch.no_grad()
    def score(self, users: Tensor, precision: Precision = "fp32") -> Tensor:
        """Every item's rating: user rows (B,) to float32 (B, n_items), in evaluation mode.

        Equal to `forward` of all pairs up to rounding, and like it not clipped: ranking needs no clipping,
        which would only make ties.
        """
        every = torch.arange(self.n_items, dtype=users.dtype, device=users.device)
        scores = torch.empty(len(users), self.n_items, device=users.device)
        chunk = max(1, PAIRS_AT_ONCE // max(1, len(users)))
        for items, out in zip(every.split(chunk), scores.split(chunk, dim=1), strict=True):
            pairs = users.repeat_interleave(len(items)), items.repeat(len(users))
            out.copy_(self(*pairs).view(len(users), len(items)))
        return scores

    def tables(self, side: str) -> dict[str, nn.Embedding]:
        """The embeddings of one side, "user" or "item", by attribute name."""
        return {
            name: module
            for name, module in self.named_children()
            if isinstance(module, nn.Embedding) and name.startswith(f"{side}_")
        }

    @torch.no_grad()
    def vectors(self, side: str) -> Tensor | None:
        """What is learned of each row of one side, "user" or "item": (n, d), in evaluation mode.

        Vectors of several embeddings stand side by side; embeddings of width 1 are biases and left out. None
        where there are no others.
        """
        wide = [table.weight for table in self.tables(side).values() if table.embedding_dim > 1]
        return torch.cat(wide, dim=1) if wide else None

    def with_users(self, rows: Mapping[str, Tensor]) -> "RatingNetwork":
        """This network for other users: all else is shared, nothing copied.

        Args:
            rows: for each name in `tables("user")`, one row per new user, (n, width).
        """
        other = copy.copy(self)
        other._modules = self._modules | {
            name: nn.Embedding.from_pretrained(table, freeze=False) for name, table in rows.items()
        }
        other.n_users = len(next(iter(rows.values())))
        return other

    def for_evaluation(self) -> "RatingNetwork":
        """A copy as it is now, which later training does not change."""
        return copy.deepcopy(self).eval().requires_grad_(False)

    @torch.no_grad()
    def fill_untrained(self, trained_users: Tensor, trained_items: Tensor) -> None:
        """Give rows without a training rating the mean of the rows that have one.

        No rating's batch ever reads such a row, so this never touches training, whenever it is called. A loss
        that draws items does read those of items; what it taught them is overwritten here.

        Args:
            trained_users: bool (n_users,), whether the user has a rating in the training part.
            trained_items: bool (n_items,), likewise.
        """
        for side, trained in (("user", trained_users), ("item", trained_items)):
            for table in self.tables(side).values():
                if not table.weight.requires_grad:  # written, not trained
                    continue
                table.weight[~trained] = table.weight[trained].mean(0)
