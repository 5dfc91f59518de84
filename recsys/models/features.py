"""What is known of a movie besides its ratings: genres and year, as numbers."""

import numpy as np
import pandas as pd
import torch
from torch import Tensor

YEARS_TOGETHER = 5


def movie_features(catalogue: pd.DataFrame) -> Tensor:
    """Genres, each movie's summing to 1, and the five years it is of: float32 (n_movies, n_features).

    Genres and years are those that occur, in alphabetical and in temporal order; a movie without any has
    zeros there.

    Args:
        catalogue: of a `Dataset`: columns genres ("Drama|War") and year (missing where unknown).
    """
    flags = catalogue["genres"].str.get_dummies("|")
    genres = flags.drop(columns="", errors="ignore").to_numpy(np.float32)  # of movies without a genre
    genres = genres / np.maximum(genres.sum(1, keepdims=True), 1)
    period = catalogue["year"].astype("Float64") // YEARS_TOGETHER
    periods = pd.get_dummies(period).to_numpy(np.float32)
    return torch.from_numpy(np.concatenate([genres, periods], axis=1))
