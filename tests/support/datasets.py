"""Small datasets whose values follow from the row number."""

from pathlib import Path

import numpy as np
import pandas as pd

from recsys.data.dataset import Dataset, encode

NO_ITEMS = pd.DataFrame({"item": [], "title": [], "year": [], "genres": []})


def dataset_of(
    users: list[int] | np.ndarray,
    timestamps: list[int] | np.ndarray | None = None,
    name: str = "test",
) -> Dataset:
    """Return a dataset in which users[r] rates item r with 1 + r % 5; timestamps are 1, 2, ... by default."""
    n = len(users)
    ratings = pd.DataFrame(
        {
            "user": np.asarray(users),
            "item": np.arange(n),
            "rating": 1.0 + np.arange(n) % 5,
            "timestamp": np.arange(1, n + 1) if timestamps is None else np.asarray(timestamps),
        }
    )
    return encode(name, ratings, NO_ITEMS, (1, 5))


def write_own_ratings(file: Path, n: int = 600) -> None:
    """Write the first n of 600 ratings as CSV, with text ids: 30 users who rate the same 20 items."""
    rows = [f"u{user},m{item},{1 + (user * item) % 5}" for user in range(30) for item in range(20)]
    file.write_text("\n".join(["user,item,rating", *rows[:n]]) + "\n")
