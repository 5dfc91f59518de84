"""What a user has rated, as part of their vector: people are known by what they choose and like."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import embedding_bag

from recsys.data.biases import USER_DAMPING
from recsys.models.ops.embedding_bag import BagIndex, bag_sums

RATINGS_AT_ONCE = 1 << 20


class History(nn.Module):
    """h_u = |R|^-1/2 sum over j in R of (y_j + (r_uj - mean - b_j - b_u) x_j), without the pair asked for.

    R are the items that u has rated in the training part, b_j is the item's bias and b_u the damped mean of
    what is left over R (Koren 2008, Factorization Meets the Neighborhood: SVD++ with the explicit term of its
    asymmetric form). While training, a pair's own item is left out of R, also where b_u is computed: its
    rating is the answer, and a mean that contains it would give it away.

    Args:
        n_items: how many item rows.
        dim: the length d of the vectors.
        std: of y and x at the start.
    """

    pairs: Tensor
    items: Tensor
    levels: Tensor
    starts: Tensor
    level_sums: Tensor

    def __init__(self, n_items: int, dim: int, std: float) -> None:
        super().__init__()
        self.n_items = n_items
        self.chosen = nn.Embedding(n_items, dim)  # y
        self.liked = nn.Embedding(n_items, dim)  # x
        nn.init.normal_(self.chosen.weight, std=std)
        nn.init.normal_(self.liked.weight, std=std)
        # The training part's ratings: no buffers, which DDP would send and averages copy in every step.
        self.forget()

    @property
    def knows(self) -> bool:
        """Whether there are ratings."""
        return len(self.pairs) > 0

    def _apply(self, fn: Callable, recurse: bool = True) -> "History":
        """Whatever moves the weights to a device moves the ratings."""
        self.pairs, self.items = fn(self.pairs), fn(self.items)
        self.levels, self.starts, self.level_sums = fn(self.levels), fn(self.starts), fn(self.level_sums)
        return super()._apply(fn, recurse)

    def forget(self) -> None:
        """Let go of all ratings."""
        self.pairs, self.items = torch.empty(0).long(), torch.empty(0).int()
        self.levels, self.starts, self.level_sums = torch.empty(0), torch.empty(0).long(), torch.empty(0, 1)

    def remember(self, users: NDArray, items: NDArray, levels: NDArray, n_users: int) -> None:
        """Take over the ratings of the training part.

        Args:
            users: user rows (n,).
            items: item rows (n,).
            levels: (n,); ratings less the mean and the item's bias.
            n_users: how many user rows.
        """
        pairs = users.astype(np.int64) * self.n_items + items
        order = np.argsort(pairs, kind="stable")
        device = self.chosen.weight.device
        self.pairs = torch.from_numpy(pairs[order]).to(device)
        self.items = (self.pairs % self.n_items).int()
        self.levels = torch.from_numpy(levels[order].astype(np.float32)).to(device)
        ends = np.cumsum(np.bincount(users, minlength=n_users))
        self.starts = torch.from_numpy(np.concatenate([[0], ends])).to(device)
        each = torch.arange(len(self.levels), device=device)
        self.level_sums = embedding_bag(each, self.levels[:, None], self.starts[:-1], mode="sum")

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """h of users (B,), each without the item (B,) it stands beside: (B, d)."""
        people, place = users.long().unique(return_inverse=True)
        chosen, liked, weighted, level, count = (
            values.index_select(0, place) for values in self._sums(people)
        )
        asked = users.long() * self.n_items + items
        found = torch.searchsorted(self.pairs, asked).clamp_max(len(self.pairs) - 1)
        is_own = (self.pairs[found] == asked).float()[:, None]
        own_level, x = is_own * self.levels[found, None], self.liked(items)
        return _combined(
            chosen - is_own * self.chosen(items),
            liked - is_own * x,
            weighted - own_level * x,
            level - own_level,
            count - is_own,
        )

    @torch.no_grad()
    def everybody(self) -> Tensor:
        """h of all users, with all they have rated, the mean for those without any: (n_users, d)."""
        n_users = len(self.starts) - 1
        many = max(1, RATINGS_AT_ONCE * n_users // max(1, len(self.pairs)))
        people = torch.arange(n_users, device=self.pairs.device).split(many)
        vectors = torch.cat([_combined(*self._sums(some)) for some in people])
        counts = self.starts.diff()
        vectors[counts == 0] = vectors[counts > 0].mean(0)
        return vectors

    def _sums(self, users: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Over all that users (U,) have rated: sums of y, of x, and of levels times x, each (U, d); the sum
        of levels and how many they are, each (U, 1)."""
        first = self.starts[users]
        counts = self.starts[users + 1] - first
        offsets = counts.cumsum(0) - counts
        places = torch.arange(int(counts.sum()), device=users.device)
        places = places + (first - offsets).repeat_interleave(counts, output_size=len(places))
        # An index in brackets takes four times as long, where there are many.
        items, levels = self.items.index_select(0, places), self.levels.index_select(0, places)
        both = torch.cat([self.chosen.weight, self.liked.weight], dim=1)
        bags = BagIndex(items, offsets.int(), self.n_items)
        chosen, liked = bag_sums(both, bags).chunk(2, dim=1)
        weighted = bag_sums(self.liked.weight, bags, levels)
        return chosen, liked, weighted, self.level_sums[users], counts[:, None].float()


def _combined(chosen: Tensor, liked: Tensor, weighted: Tensor, level: Tensor, count: Tensor) -> Tensor:
    """h from the sums of `History._sums`: (B, d)."""
    bias = level / (USER_DAMPING + count)
    return (chosen + weighted - bias * liked) / count.clamp_min(1).sqrt()
