"""RatingNetwork: what every network here has in common."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class RatingNetwork(nn.Module):
    """A network from user rows and movie rows to ratings.

    A subclass implements `forward`, and keeps one row per user in `nn.Embedding`s whose attribute names start
    with `user_`, one row per movie in those that start with `movie_`. That is the whole contract: training,
    cold rows, checkpoints and recommending rest on it.

    Args:
        n_users: how many user rows there are.
        n_movies: how many movie rows there are.
        scale: the lowest and the highest rating possible.
        mean: the mean rating of the training part.
    """

    def __init__(self, n_users: int, n_movies: int, scale: Sequence[float], mean: float) -> None:
        super().__init__()
        self.n_users, self.n_movies = n_users, n_movies
        self.scale = (float(scale[0]), float(scale[1]))
        self.mean = float(mean)

    def forward(self, users: Tensor, movies: Tensor) -> Tensor:
        """Ratings of pairs: user rows (B,) and movie rows (B,) to float (B,), not clipped to the scale."""
        raise NotImplementedError("a network implements forward(users, movies)")

    def predict(self, users: Tensor, movies: Tensor) -> Tensor:
        """Ratings of pairs in float32, clipped to the scale: what metrics and people get; (B,) to (B,)."""
        with torch.autocast(users.device.type, enabled=False):
            return self(users, movies).float().clamp(*self.scale)

    @torch.no_grad()
    def fill_untrained(self, trained_users: Tensor, trained_movies: Tensor) -> None:
        """Give rows without a training rating the mean of the rows that have one.

        No batch ever reads such a row, so this never touches training, whenever it is called.

        Args:
            trained_users: bool (n_users,), whether the user has a rating in the training part.
            trained_movies: bool (n_movies,), likewise.
        """
        for name, module in self.named_children():
            if isinstance(module, nn.Embedding):
                trained = trained_users if name.startswith("user_") else trained_movies
                module.weight[~trained] = module.weight[trained].mean(0)
