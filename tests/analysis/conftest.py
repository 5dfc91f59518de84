from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.tiny import QUICK

from recsys.data.dataset import Dataset, encode
from recsys.experiment.train import train


@pytest.fixture
def film_run(compose, tmp_path: Path) -> Path:
    """A finished run with TensorBoard events."""
    folder = tmp_path / "outputs" / "runs" / "one"
    folder.mkdir(parents=True)
    train(compose(*QUICK, "logger=tensorboard", "model.embedding_dim=8"), folder)
    return folder


@pytest.fixture
def items() -> Dataset:
    """60 items whose numbers of ratings (1 to 60) and years (1940 to 1999) are shuffled over the rows."""
    random = np.random.default_rng(1)
    counts, years = random.permutation(np.arange(1, 61)), random.permutation(np.arange(1940, 2000))
    items = np.repeat(np.arange(60), counts)
    users = np.concatenate([np.arange(count) for count in counts])
    ratings = pd.DataFrame(
        {"user": users, "item": items, "rating": random.integers(1, 6, len(users)), "timestamp": 0}
    )
    catalogue = pd.DataFrame(
        {
            "item": np.arange(60),
            "title": [f"Item of {year} ({year})" for year in years],
            "year": years,
            "genres": np.where(years < 1960, "Drama|War", "Comedy"),
        }
    )
    return encode("items", ratings, catalogue, (1, 5))
