from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.finished import finished_run
from support.tiny import QUICK

from recsys.data.dataset import Dataset, encode


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """The folder of a finished run with TensorBoard events."""
    folder = tmp_path / "outputs" / "runs" / "one"
    folder.mkdir(parents=True)
    return finished_run(folder, [*QUICK, "logger=tensorboard", "model.embedding_dim=8"])


@pytest.fixture
def dataset() -> Dataset:
    """60 items whose numbers of ratings (1 to 60) and years (1940 to 1999) are shuffled."""
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
