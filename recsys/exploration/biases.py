"""Who rates high and what is rated high: the network's biases, or the baseline's where it has none."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import nn

from recsys.data.biases import fit_biases
from recsys.models.heads import Linear
from recsys.models.network import RatingNetwork
from recsys.reopen import Reopened


@dataclass(frozen=True, eq=False)
class Biases:
    """How far ratings lie above what they would be otherwise, by user and by movie row.

    Attributes:
        users: (n_users,).
        movies: (n_movies,).
        source: whose they are, in words.
    """

    users: NDArray[np.float64]
    movies: NDArray[np.float64]
    source: str


def biases_of(run: Reopened) -> Biases:
    """The network's `user_bias` and `movie_bias`; without them in rating points, the damped baseline's."""
    users, movies = (_bias(run.trained.network, name) for name in ("user_bias", "movie_bias"))
    if users is not None and movies is not None:
        return Biases(users, movies, "the network's")
    fitted = fit_biases(run.dataset, run.split.train)
    told = "of the baseline user-movie-bias, since the network has none in rating points"
    return Biases(fitted.users, fitted.movies, told)


def _bias(network: RatingNetwork, name: str) -> NDArray[np.float64] | None:
    module = getattr(network, name, None)
    if isinstance(network.head, Linear) and isinstance(module, nn.Embedding) and module.embedding_dim == 1:
        return module.weight.detach().cpu().double().squeeze(1).numpy()
    return None
