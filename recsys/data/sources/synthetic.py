"""Synthetic ratings with a known ground truth, for tests, demos and benchmarks."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recsys.data.dataset import Dataset, encode
from recsys.data.sources.base import Source
from recsys.errors import DataError, shortened
from recsys.types import NonNegativeFloat, NonNegativeInt, PositiveInt

MAX_ROWS = 10**8  # users and items; one of each takes about 200 bytes
MAX_RATINGS = 10**9  # each takes about 50 bytes while they are drawn
MAX_FACTORS = 10**9  # elements of p and q, of 8 bytes


@dataclass(frozen=True)
class Synthetic(Source):
    """Ratings drawn from biases, a low-rank product and noise, for distinct pairs of user and item.

        rating(u, i) = 3 + b_u + b_i + p_u . q_i + noise, clipped to 1..5

    b_u and b_i have standard deviation 0.3, the product p_u . q_i has 0.5. The RMSE of predicting the global
    mean is therefore about sqrt(.3^2 + .3^2 + .5^2 + noise^2), that of the true biases sqrt(.5^2 + noise^2),
    and that of the true model `noise`; clipping reduces each a little.

    Attributes:
        name: the name of the data set in results.
        ratings: the number of ratings.
        users: the number of users.
        items: the number of items.
        rank: the dimension of the factors p_u and q_i.
        noise: the standard deviation of the noise.
        step: ratings are rounded to multiples of it; 0 for no rounding.
        seed: of all draws.
    """

    name: str = "synthetic"
    ratings: PositiveInt = 20_000
    users: PositiveInt = 300
    items: PositiveInt = 200
    rank: PositiveInt = 2
    noise: NonNegativeFloat = 0.3
    step: NonNegativeFloat = 0.5
    seed: NonNegativeInt = 0

    def truth(self) -> NDArray[np.float32]:
        """Return the ratings of all pairs without noise and clipping, shape (users, items)."""
        return self._truth_of(np.arange(self.users)[:, None], np.arange(self.items))

    def _truth_of(self, users: NDArray[np.int64], items: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the ratings of the given pairs without noise and clipping.

        Only the given pairs are computed: all pairs of a large data set do not fit into memory.

        Args:
            users: user indices.
            items: item indices; the two arrays are broadcast.
        """
        random = np.random.default_rng([self.seed, 0])
        user_bias = random.normal(0, 0.3, self.users)
        item_bias = random.normal(0, 0.3, self.items)
        deviation = (0.5 / np.sqrt(self.rank)) ** 0.5  # so that the sum over `rank` products has 0.5
        user_factors = random.normal(0, deviation, (self.users, self.rank))
        item_factors = random.normal(0, deviation, (self.rank, self.items))
        product = sum(user_factors[users, k] * item_factors[k, items] for k in range(self.rank))
        return (3 + user_bias[users] + item_bias[items] + product).astype(np.float32)

    def load(self) -> Dataset:
        """Draw the ratings. Ids are 1..users and 1..items; timestamps ascend with the rows."""
        for problem in self.check():
            raise DataError(problem)
        random = np.random.default_rng([self.seed, 1])
        pairs = random.choice(self.users * self.items, self.ratings, replace=False)
        users, items = np.divmod(pairs, self.items)
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
        item_table = pd.DataFrame(
            {
                "item": ids,
                "title": [f"Synthetic Item {id} ({year})" for id, year in zip(ids, years, strict=True)],
                "year": years,
                "genres": np.where(ids % 2 == 0, "Drama", "Comedy|Romance"),
            }
        )
        return encode(self.name, ratings, item_table, (1.0, 5.0))

    def check(self) -> Iterator[str]:
        """Yield an error message for every number that is too large, or if there are fewer pairs than ratings."""
        limits = {"ratings": MAX_RATINGS, "users": MAX_ROWS, "items": MAX_ROWS}
        too_large = {key: limit for key, limit in limits.items() if getattr(self, key) > limit}
        for key, limit in too_large.items():
            given = shortened(getattr(self, key), quoted=False)
            yield f"data.{key}={given}: must be at most {limit:,}"
        if too_large:
            return
        if (self.users + self.items) * self.rank > MAX_FACTORS:
            yield (
                f"data.rank={shortened(self.rank, quoted=False)}: (data.users + data.items) x data.rank must be at "
                f"most {MAX_FACTORS:,}; use at most data.rank={MAX_FACTORS // (self.users + self.items)}"
            )
        if self.ratings > (pairs := self.users * self.items):
            yield (
                f"data.ratings={self.ratings}: data.users x data.items is only {pairs} pairs; "
                "choose fewer ratings, or more users or items"
            )
