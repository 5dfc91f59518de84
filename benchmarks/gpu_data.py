"""Synthetic ratings with skewed activity and popularity, for benchmarks/gpu.py.

Uniform data would hide what is slow on a GPU: the most active user of ML-25M has 32,202 ratings, 200 times the mean.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from recsys.data.dataset import Dataset
from recsys.data.ids import IdMap
from recsys.data.sources.base import Source

SHAPES = {  # users, items, ratings
    "tiny": (400, 300, 40_000),
    "ml-100k": (943, 1_682, 100_000),
    "ml-1m": (6_040, 3_706, 1_000_000),
    "ml-25m": (162_541, 59_047, 25_000_000),
}
GENRES = ("Comedy", "Drama", "Drama|War", "Action|Sci-Fi")


@dataclass(frozen=True)
class Skewed(Source):
    """Ratings of distinct pairs; activity and popularity are lognormal, ratings follow from biases and four factors.

    Attributes:
        shape: a key of `SHAPES`.
        name: of the data set.
    """

    shape: str = "tiny"
    name: str = "skewed"

    def load(self) -> Dataset:
        """Generate the ratings; the same in every call."""
        n_users, n_items, n_ratings = SHAPES[self.shape]
        random = np.random.default_rng(0)
        users = _drawn(random, n_users, n_ratings, spread=1.2)
        items = _drawn(random, n_items, n_ratings, spread=1.6)
        random.shuffle(items)
        pairs = np.sort(users * n_items + items)
        pairs = pairs[np.diff(pairs, prepend=-1) > 0]  # np.unique takes five times as long
        random.shuffle(pairs)
        users, items = pairs // n_items, pairs % n_items
        (bias_u, factors_u), (bias_i, factors_i) = (
            (random.normal(0, 0.4, n), random.normal(0, 0.5, (n, 4))) for n in (n_users, n_items)
        )
        scores = 3.5 + bias_u[users] + bias_i[items] + (factors_u[users] * factors_i[items]).sum(1)
        scores += random.normal(0, 0.7, len(pairs))
        item_ids = np.arange(n_items)
        table = {
            "title": [f"item {id}" for id in item_ids],
            "genres": np.take(GENRES, item_ids % len(GENRES)),
        }
        return Dataset(
            name=self.name,
            users=users.astype(np.int32),
            items=items.astype(np.int32),
            ratings=scores.round().clip(1, 5).astype(np.float32),
            timestamps=np.zeros(len(pairs), dtype=np.int64),
            user_ids=IdMap(np.arange(n_users), "user"),
            item_ids=IdMap(item_ids, "item"),
            item_table=pd.DataFrame(table).assign(year=pd.array(1950 + item_ids % 70, dtype="Int32")),
            user_table=pd.DataFrame({name: [""] * n_users for name in ("gender", "age", "occupation")}),
            scale=(1.0, 5.0),
            sha256=f"skewed-{self.shape}",
        )


def _drawn(random: np.random.Generator, n: int, size: int, spread: float) -> np.ndarray:
    """Return sorted indices (size,), int64, drawn with lognormal weights; all of 0 to n-1 occur."""
    weights = random.lognormal(0, spread, n)
    return np.repeat(np.arange(n), 1 + random.multinomial(size - n, weights / weights.sum()))
