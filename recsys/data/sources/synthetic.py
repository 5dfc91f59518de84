"""Ratings with a known truth: biases and a low-rank product, plus noise. For tests, demos and benchmarks."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recsys.data.dataset import Dataset, encode
from recsys.errors import DataError
from recsys.types import NonNegativeFloat, NonNegativeInt, PositiveInt


@dataclass(frozen=True)
class Synthetic:
    """rating(u, m) = 3 + b_u + b_m + p_u . q_m + noise, clipped to 1..5; the pairs are drawn without repeats.

    b_u and b_m have standard deviation 0.3; the product of the `rank`-dimensional factors has 0.5. So the
    global mean misses by about sqrt(.3^2 + .3^2 + .5^2 + noise^2), biases alone by sqrt(.5^2 + noise^2), and
    no model can do better than `noise`, up to what clipping takes off.

    Attributes:
        name: what the data set is called in results.
        ratings: how many.
        users: how many.
        items: how many.
        rank: dimensions of the factors.
        noise: standard deviation of what cannot be predicted.
        step: ratings are rounded to multiples of it; 0: they are not.
        seed: of everything drawn.
    """

    name: str = "synthetic"
    ratings: PositiveInt = 20_000
    users: PositiveInt = 300
    items: PositiveInt = 200
    rank: PositiveInt = 2
    noise: NonNegativeFloat = 0.3
    step: NonNegativeFloat = 0.0
    seed: NonNegativeInt = 0

    def truth(self) -> NDArray[np.float32]:
        """The noiseless ratings before clipping, shape (users, items)."""
        return self._truth_of(np.arange(self.users)[:, None], np.arange(self.items))

    def _truth_of(self, users: NDArray[np.int64], items: NDArray[np.int64]) -> NDArray[np.float32]:
        """The noiseless ratings of pairs, in the shape to which the two arrays of rows broadcast.

        Of the drawn pairs alone, since the table of all users and items of a large data set fits nowhere.
        """
        random = np.random.default_rng([self.seed, 0])
        user_bias = random.normal(0, 0.3, self.users)
        item_bias = random.normal(0, 0.3, self.items)
        side = (0.5 / np.sqrt(self.rank)) ** 0.5  # product of two such factors, summed over rank: sd 0.5
        user_factors = random.normal(0, side, (self.users, self.rank))
        item_factors = random.normal(0, side, (self.rank, self.items))
        product = sum(user_factors[users, k] * item_factors[k, items] for k in range(self.rank))
        return (3 + user_bias[users] + item_bias[items] + product).astype(np.float32)

    def load(self) -> Dataset:
        """Draw the ratings; ids are 1..users and 1..items, times rise with the rows."""
        cells = self.users * self.items
        if self.ratings > cells:
            raise DataError(f"data.ratings={self.ratings} is more than data.users x data.items = {cells}")
        random = np.random.default_rng([self.seed, 1])
        users, items = np.divmod(random.choice(cells, self.ratings, replace=False), self.items)
        noisy = self._truth_of(users, items) + random.normal(0, self.noise, self.ratings)
        if self.step:
            noisy = np.round(noisy / self.step) * self.step
        ratings = pd.DataFrame(
            {
                "user": users + 1,
                "item": items + 1,
                "rating": np.clip(noisy, 1, 5).astype(np.float32),
                "timestamp": 1_000_000_000 + np.sort(random.integers(0, 10**8, self.ratings)),
            }
        )
        ids = np.arange(1, self.items + 1)
        years = 1930 + ids % 90
        catalogue = pd.DataFrame(
            {
                "item": ids,
                "title": [f"Synthetic Item {id} ({year})" for id, year in zip(ids, years, strict=True)],
                "year": years,
                "genres": np.where(ids % 2 == 0, "Drama", "Comedy|Romance"),
            }
        )
        return encode(self.name, ratings, catalogue, (1.0, 5.0))
