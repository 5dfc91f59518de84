from pathlib import Path

import pandas as pd
import pytest

from recsys.data.cache import cached, data_folder
from recsys.data.dataset import Dataset, encode
from recsys.errors import DataError

RATINGS = pd.DataFrame({"user": [3, 1], "item": [5, 7], "rating": [4.0, 2.5], "timestamp": [0, 0]})
NO_ITEMS = pd.DataFrame({"item": [], "title": [], "year": [], "genres": []})


class Counted:
    """Encodes two ratings, and counts how often."""

    times = 0

    def __call__(self) -> Dataset:
        self.times += 1
        return encode("two", RATINGS, NO_ITEMS, (1, 5))


def saved_files() -> list[Path]:
    return sorted(
        path for path in (data_folder() / "encoded").rglob("*") if path.is_file() and path.stat().st_size
    )


def test_a_dataset_is_encoded_once_for_each_identity() -> None:
    build = Counted()
    first, again = cached("two", ["a", 1], build), cached("two", ["a", 1], build)
    assert build.times == 1
    assert first.sha256 == again.sha256 == build().sha256
    cached("two", ["a", 2], build)
    assert build.times == 3


def test_memory_that_runs_out_while_a_file_is_read_is_an_error_of_the_data() -> None:
    """Not of the network, whose size would then be blamed."""

    def build() -> Dataset:
        raise MemoryError("Unable to allocate 2.24 GiB")

    with pytest.raises(DataError, match=r"two: not enough memory to read .*2\.24 GiB.*fewer ratings"):
        cached("two", ["a"], build)
    assert saved_files() == []


@pytest.mark.parametrize(
    "damage", [Path.unlink, lambda path: path.write_bytes(b"")], ids=["missing", "empty"]
)
def test_a_damaged_dataset_is_encoded_again(damage) -> None:
    build = Counted()
    cached("two", ["a"], build)
    files = saved_files()
    assert len(files) > 2
    for times, path in enumerate(files, start=2):
        damage(path)
        assert cached("two", ["a"], build).ratings.tolist() == [4.0, 2.5]
        assert build.times == times
        assert saved_files() == files
