from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from recsys.data.biases import fit_biases
from recsys.data.dataset import Dataset, encode
from recsys.data.splits import RandomSplit, Split
from recsys.errors import RunError
from recsys.runs.data import DATA, RunData, load_data, save_data

N_USERS, N_ITEMS, FINGERPRINTS = 30, 12, ("a1", "b2")


@pytest.fixture
def dataset() -> Dataset:
    """Ratings of text ids, by users with 0 to 12 ratings in the training set."""
    pairs = [(user, item) for user in range(N_USERS) for item in range(1 + user % N_ITEMS)]
    pairs += [(0, item) for item in range(1, N_ITEMS)]
    ratings = pd.DataFrame(pairs, columns=["user", "item"])
    ratings = ratings.assign(rating=1.0 + (ratings["user"] * 7 + ratings["item"]) % 5, timestamp=0)
    items = pd.DataFrame(
        {
            "item": range(N_ITEMS),
            "title": [f"Tïtle {i}" for i in range(N_ITEMS)],
            "year": pd.array([None, *range(1990, 1989 + N_ITEMS)], dtype="Int32"),
            "genres": ["", *["Drama|War"] * (N_ITEMS - 1)],
        }
    )
    return encode("tiny", ratings, items, (1, 5))


@pytest.fixture
def split(dataset: Dataset) -> Split:
    return RandomSplit()(dataset)


def test_round_trip(dataset: Dataset, split: Split, tmp_path: Path) -> None:
    size = save_data(RunData.of(dataset, split, fit_biases(dataset, split.train)), tmp_path, FINGERPRINTS)
    assert size == (tmp_path / DATA).stat().st_size
    loaded = load_data(tmp_path, FINGERPRINTS, N_USERS, N_ITEMS)
    assert loaded.name == "tiny"
    pd.testing.assert_frame_equal(loaded.item_table, dataset.item_table)
    biases = fit_biases(dataset, split.train)
    assert loaded.biases.mean == biases.mean
    assert np.array_equal(loaded.biases.users, biases.users)
    assert np.array_equal(loaded.biases.items, biases.items)
    assert loaded.user_counts.tolist() == np.bincount(dataset.users).tolist()
    assert loaded.item_counts.tolist() == np.bincount(dataset.items).tolist()
    for user in range(N_USERS):
        _, seen = loaded.seen.positions(torch.tensor([user]))
        assert sorted(seen.tolist()) == sorted(dataset.items[dataset.users == user].tolist())
    trained = set(dataset.users[split.train].tolist())
    assert [user in trained for user in range(N_USERS)] == loaded.trained_users.tolist()
    assert loaded.trained_items.all()


@pytest.mark.parametrize(("n_items", "size"), [(200, 1), (300, 2), (40_000, 2), (70_000, 4)])
def test_a_rating_takes_the_fewest_bytes_that_hold_an_item_index(
    n_items: int, size: int, tmp_path: Path
) -> None:
    items = np.arange(n_items)
    ratings = pd.DataFrame({"user": items % 50, "item": items, "rating": 3.0, "timestamp": 0})
    table = pd.DataFrame({"item": [], "title": [], "year": [], "genres": []})
    dataset = encode("many", ratings, table, (1, 5))
    split = RandomSplit()(dataset)
    save_data(RunData.of(dataset, split, fit_biases(dataset, split.train)), tmp_path, FINGERPRINTS)
    stored = torch.load(tmp_path / DATA, weights_only=True)["seen_items"]
    assert (stored.dtype.itemsize, len(stored)) == (size, n_items)
    loaded = load_data(tmp_path, FINGERPRINTS, 50, n_items)
    assert sorted(loaded.seen.items.tolist()) == items.tolist()


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.update(format=1), "format 1"),
        (lambda content: content.update(format=torch.zeros(3)), "no format"),
        (lambda content: content["user_biases"].requires_grad_(), "not stored"),
        (lambda content: content.update(data=["a1", "c3"]), "belongs to another run"),
        (lambda content: content.pop("titles"), "titles"),
        (lambda content: content.update(titles='["x"]'), "a list of 12 strings"),
        (lambda content: content.update(genres=str([1] * N_ITEMS)), "a list of 12 strings"),
        (lambda content: content.update(genres="[" * 10**5), "recursion"),
        (lambda content: content.update(genres="{"), "damaged"),
        (lambda content: content.update(name=7), "strings"),
        (lambda content: content.update(mean=float("nan")), "mean"),
        (lambda content: content["seen_items"].fill_(N_ITEMS), "out of range"),
        (lambda content: content["seen_starts"].fill_(5), "seen_starts"),
        (lambda content: content["user_biases"].fill_(torch.inf), "not finite"),
        (
            lambda content: content.update(user_biases=torch.nested.nested_tensor([torch.zeros(N_USERS)])),
            "a dense tensor",
        ),
        (lambda content: content.update(trained_users=torch.tensor(True).expand(N_USERS)), "not stored"),
        (lambda content: content.update(trained_items=torch.ones(N_ITEMS)), "torch.bool"),
        (lambda content: content.update(years=[1990] * N_ITEMS), "int16"),
        (
            lambda content: content.update(
                seen_items=content["seen_items"][:0], seen_starts=torch.zeros(N_USERS + 1, dtype=torch.int64)
            ),
            "a trained user or item has no ratings",
        ),
    ],
)
def test_content_that_was_tampered_with_is_refused(
    change: Callable[[dict[str, Any]], object],
    message: str,
    dataset: Dataset,
    split: Split,
    tmp_path: Path,
) -> None:
    save_data(RunData.of(dataset, split, fit_biases(dataset, split.train)), tmp_path, FINGERPRINTS)
    content = torch.load(tmp_path / DATA, weights_only=True)
    change(content)
    torch.save(content, tmp_path / DATA)
    with pytest.raises(RunError, match=rf"data\.pt: .*{message}"):
        load_data(tmp_path, FINGERPRINTS, N_USERS, N_ITEMS)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"data\.pt: missing.*train again"):
        load_data(tmp_path, FINGERPRINTS, N_USERS, N_ITEMS)
