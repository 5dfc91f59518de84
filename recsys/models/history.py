"""What a user has rated, as part of their vector: people are known by what they choose and like."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

RATINGS_AT_ONCE = 1 << 20


class History(nn.Module):
    """h_u = |R(u)|^-1/2 sum over j in R(u) of (y_j + (r_uj - b_uj) x_j), without the pair that is asked for.

    R(u) are the movies that u has rated in the training part, b_uj is the rating that biases alone predict
    (Koren 2008, Factorization Meets the Neighborhood, equation 15 in its asymmetric form, and SVD++). While
    training, a pair's own movie is left out of its user's sum: its rating is the answer.

    Args:
        n_movies: how many movie rows.
        dim: the length d of the vectors.
        std: of y and x at the start.
    """

    pairs: Tensor
    residuals: Tensor
    starts: Tensor

    def __init__(self, n_movies: int, dim: int, std: float) -> None:
        super().__init__()
        self.n_movies = n_movies
        self.chosen = nn.Embedding(n_movies, dim)  # y
        self.liked = nn.Embedding(n_movies, dim)  # x
        nn.init.normal_(self.chosen.weight, std=std)
        nn.init.normal_(self.liked.weight, std=std)
        # The ratings are those of the training part, there while training, and in no checkpoint.
        for buffer in ("pairs", "residuals", "starts"):
            self.register_buffer(buffer, None, persistent=False)
        self.forget()

    @property
    def knows(self) -> bool:
        """Whether there are ratings."""
        return len(self.pairs) > 0

    def forget(self) -> None:
        """Let go of all ratings."""
        self.pairs, self.residuals, self.starts = torch.empty(0).long(), torch.empty(0), torch.empty(0).long()

    def remember(self, users: NDArray, movies: NDArray, residuals: NDArray, n_users: int) -> None:
        """Take over the ratings of the training part.

        Args:
            users: user rows (n,).
            movies: movie rows (n,).
            residuals: (n,); ratings less what biases predict.
            n_users: how many user rows.
        """
        pairs = users.astype(np.int64) * self.n_movies + movies
        order = np.argsort(pairs, kind="stable")
        device = self.chosen.weight.device
        self.pairs = torch.from_numpy(pairs[order]).to(device)
        self.residuals = torch.from_numpy(residuals[order].astype(np.float32)).to(device)
        ends = np.cumsum(np.bincount(users, minlength=n_users))
        self.starts = torch.from_numpy(np.concatenate([[0], ends])).to(device)

    def forward(self, users: Tensor, movies: Tensor) -> Tensor:
        """h of users (B,), each without the movie (B,) it stands beside: (B, d)."""
        people, place = users.long().unique(return_inverse=True)
        sums, counts = self._sums(people)
        asked = users.long() * self.n_movies + movies
        found = torch.searchsorted(self.pairs, asked).clamp_max(len(self.pairs) - 1)
        is_own = (self.pairs[found] == asked).float()
        own = self.chosen(movies) + self.residuals[found, None] * self.liked(movies)
        others = counts[place] - is_own
        return (sums[place] - is_own[:, None] * own) / others.clamp_min(1).sqrt()[:, None]

    @torch.no_grad()
    def everybody(self) -> Tensor:
        """h of all users, with all they have rated: (n_users, d)."""
        n_users = len(self.starts) - 1
        many = max(1, RATINGS_AT_ONCE * n_users // max(1, len(self.pairs)))
        parts = [self._sums(some) for some in torch.arange(n_users, device=self.pairs.device).split(many)]
        return torch.cat([sums / counts.clamp_min(1).sqrt()[:, None] for sums, counts in parts])

    def _sums(self, users: Tensor) -> tuple[Tensor, Tensor]:
        """Sums (U, d) over everything that users (U,) have rated, and how much that is (U,)."""
        first = self.starts[users]
        counts = self.starts[users + 1] - first
        offsets = counts.cumsum(0) - counts
        within = torch.arange(int(counts.sum()), device=users.device)
        places = within + (first - offsets).repeat_interleave(counts)
        movies = self.pairs[places] % self.n_movies
        chosen = functional.embedding_bag(movies, self.chosen.weight, offsets, mode="sum")
        liked = functional.embedding_bag(
            movies,
            self.liked.weight,
            offsets,
            mode="sum",
            per_sample_weights=self.residuals[places],
        )
        return chosen + liked, counts.float()
