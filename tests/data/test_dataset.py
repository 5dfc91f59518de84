import hashlib
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import feather
from support.datasets import NO_ITEMS, dataset_of

from recsys.data.dataset import Dataset, encode
from recsys.data.storage import load, save
from recsys.errors import DataError

RATINGS = pd.DataFrame(
    {
        "user": [30, 10, 30, 20],
        "item": [7, 900, 900, 5],
        "rating": np.array([4, 3.5, 1, 5], dtype=np.float32),
        "timestamp": [40, 10, 30, 20],
    }
)
ITEMS = pd.DataFrame(
    {
        "item": [900, 8, 7],
        "title": ["Été (1988)", "Unrated (1990)", "Yearless"],
        "year": pd.array([1988, 1990, None], dtype="Int32"),
        "genres": ["Drama|War", "Comedy", ""],
    }
)


def make_dataset() -> Dataset:
    return encode("tiny", RATINGS, ITEMS, (0.5, 5), dropped=3)


def test_raw_ids_become_indices_in_ascending_order() -> None:
    dataset = make_dataset()
    assert len(dataset) == 4
    assert dataset.user_ids.ids.tolist() == [10, 20, 30]
    assert dataset.item_ids.ids.tolist() == [5, 7, 900]
    assert dataset.users.tolist() == [2, 0, 2, 1]
    assert dataset.items.tolist() == [1, 2, 2, 0]
    assert dataset.ratings.tolist() == [4, 3.5, 1, 5]
    assert dataset.timestamps.tolist() == [40, 10, 30, 20]
    assert (dataset.scale, dataset.dropped) == ((0.5, 5.0), 3)
    assert [column.dtype for column in (dataset.users, dataset.items, dataset.ratings)] == [
        np.int32,
        np.int32,
        np.float32,
    ]


def test_the_item_table_has_a_row_for_each_rated_item() -> None:
    table = make_dataset().item_table
    assert table["title"].tolist() == ["item 5", "Yearless", "Été (1988)"]
    assert table["genres"].tolist() == ["", "", "Drama|War"]
    assert table["year"].isna().tolist() == [True, True, False]
    assert table["year"][2] == 1988


def test_the_user_table_has_a_row_for_each_user_and_is_saved(tmp_path: Path) -> None:
    known = pd.DataFrame(
        {
            "user": [30, 99, 10],
            "gender": ["F", "M", "M"],
            "age": ["24", "1", "56"],
            "occupation": ["", "x", "y"],
        }
    )
    dataset = encode("tiny", RATINGS, ITEMS, (0.5, 5), user_table=known)
    rows = [["M", "56", "y"], ["", "", ""], ["F", "24", ""]]  # users 10, 20 and 30
    assert dataset.user_table[["gender", "age", "occupation"]].values.tolist() == rows
    assert make_dataset().user_table.values.tolist() == [["", "", ""]] * 3
    save(dataset, tmp_path / "set")
    pd.testing.assert_frame_equal(load(tmp_path / "set").user_table, dataset.user_table)


def test_items_without_a_table_get_their_id_as_title() -> None:
    ratings = RATINGS.assign(user=["eve", "bob", "eve", "zoë"])
    dataset = encode("tiny", ratings, NO_ITEMS, (0.5, 5))
    assert dataset.user_ids.ids.tolist() == ["bob", "eve", "zoë"]
    assert dataset.users.tolist() == [1, 0, 1, 2]
    assert dataset.item_table["title"].tolist() == ["item 5", "item 7", "item 900"]


def test_sha256_is_the_hash_of_the_raw_rows() -> None:
    digest = hashlib.sha256()
    for column, kind in (("user", "<i8"), ("item", "<i8"), ("rating", "<f4"), ("timestamp", "<i8")):
        digest.update(RATINGS[column].to_numpy(kind).tobytes())
    assert make_dataset().sha256 == digest.hexdigest()


def test_text_ids_are_hashed_as_utf8_padded_with_zeros() -> None:
    texts = ["bo", "zoë", "a", "bo"]
    ratings = RATINGS.assign(user=texts)
    digest = hashlib.sha256(b"4 texts of 4 bytes:bo\0\0" + "zoë".encode() + b"a\0\0\0" + b"bo\0\0")
    for column, kind in (("item", "<i8"), ("rating", "<f4"), ("timestamp", "<i8")):
        digest.update(RATINGS[column].to_numpy(kind).tobytes())
    assert encode("tiny", ratings, NO_ITEMS, (0.5, 5)).sha256 == digest.hexdigest()


def test_different_text_ids_have_a_different_sha256_even_if_their_letters_are_the_same() -> None:
    columns = {"rating": np.float32([4, 3]), "timestamp": [0, 0]}
    one = pd.DataFrame({"user": ["a", "b"], "item": ["cd", "ef"], **columns})
    other = pd.DataFrame({"user": ["ab", "cd"], "item": ["e", "f"], **columns})
    assert encode("x", one, NO_ITEMS, (1, 5)).sha256 != encode("x", other, NO_ITEMS, (1, 5)).sha256


@pytest.mark.parametrize(
    ("ids", "problem"),
    [
        ([1.5, 2.0], "ids must be whole numbers or text without missing values, not floating"),
        (["a", None], "not mixed"),
        (["a", 1], "not mixed-integer"),
        (["a", "b\0"], r"id 'b\\x00' has a NUL character"),
        (["a", "b" * 1001], "is longer than 1000 characters"),
        (["a", "\ud800"], "is not valid text"),
    ],
)
def test_ids_that_no_reader_returns_are_refused(ids: list, problem: str) -> None:
    """A data source of the user's own may return them."""
    for column in ("user", "item"):
        ratings = RATINGS.iloc[:2].astype({"user": object, "item": object})
        ratings[column] = pd.Series(ids, dtype=object)
        with pytest.raises(DataError, match=f"column '{column}': .*{problem}"):
            encode("x", ratings, NO_ITEMS, (0.5, 5))


def test_whole_numbers_as_python_objects_are_integer_ids() -> None:
    dataset = encode("x", RATINGS.astype({"user": object}), NO_ITEMS, (0.5, 5))
    assert dataset.sha256 == make_dataset().sha256


def test_one_long_id_does_not_multiply_the_memory() -> None:
    """A numpy array of text would have room for the longest id in every row: 80 MB here."""
    n = 20_000
    users = [f"user {row}" for row in range(n - 1)] + ["x" * 1000]
    ratings = pd.DataFrame({"user": users, "item": 1, "rating": np.float32(4), "timestamp": 0})
    tracemalloc.start()
    try:
        dataset = encode("long", ratings, NO_ITEMS, (1, 5))
        assert dataset.user_ids.to_indices(["x" * 1000, users[0]]).tolist() == [n - 1, 0]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20_000_000


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        (RATINGS.iloc[::-1], False),
        (RATINGS.assign(user=[30, 10, 30, 21]), False),
        (RATINGS.assign(rating=[4, 3.5, 1.5, 5]), False),
        (RATINGS.assign(timestamp=0), False),
        (RATINGS.assign(user=["30", "10", "30", "20"]), False),
        (RATINGS.copy(), True),
    ],
)
def test_different_rows_have_a_different_sha256(changed: pd.DataFrame, same: bool) -> None:
    assert (encode("other", changed, NO_ITEMS, (1, 5)).sha256 == make_dataset().sha256) is same


@pytest.mark.parametrize("users", [[30, 10, 30, 20], ["eve", "bob", "eve", "zoë"]], ids=["numbers", "text"])
def test_a_saved_dataset_is_loaded_unchanged(tmp_path: Path, users: list) -> None:
    dataset = encode("tiny", RATINGS.assign(user=users), ITEMS, (0.5, 5), dropped=3)
    save(dataset, tmp_path / "deep" / "set")
    loaded = load(tmp_path / "deep" / "set")
    for fact in ("name", "scale", "sha256", "dropped"):
        assert getattr(loaded, fact) == getattr(dataset, fact)
    for column in ("users", "items", "ratings", "timestamps"):
        mine, theirs = getattr(loaded, column), getattr(dataset, column)
        assert mine.dtype == theirs.dtype
        assert mine.tolist() == theirs.tolist()
    for ids in ("user_ids", "item_ids"):
        assert getattr(loaded, ids).ids.tolist() == getattr(dataset, ids).ids.tolist()
        assert getattr(loaded, ids).name == getattr(dataset, ids).name
    pd.testing.assert_frame_equal(loaded.item_table, dataset.item_table)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["set"]


def test_loaded_columns_are_memory_mapped_and_read_only(tmp_path: Path) -> None:
    many = pd.concat([RATINGS] * 2500)  # few users and items: their tables are not mapped
    save(encode("many", many, ITEMS, (0.5, 5)), tmp_path / "set")
    before = pa.total_allocated_bytes()
    loaded = load(tmp_path / "set")
    assert loaded.ratings.nbytes == 40_000
    assert pa.total_allocated_bytes() - before < 40_000
    with pytest.raises(ValueError, match="read-only"):
        loaded.ratings[0] = 1


def test_an_interrupted_save_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, written = feather.write_feather, []

    def fail_at_the_third(table: object, path: str, **kwargs: object) -> None:
        if len(written) == 2:
            raise OSError("disk full")
        written.append(path)
        write(table, path, **kwargs)

    monkeypatch.setattr(feather, "write_feather", fail_at_the_third)
    with pytest.raises(OSError, match="disk full"):
        save(make_dataset(), tmp_path / "set")
    assert len(written) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("times", "known"), [([1, 2, 3], True), ([1, 0, 3], False), ([0, 0, 0], False)])
def test_has_timestamps_if_all_are_known(times: list[int], known: bool) -> None:
    assert dataset_of([1, 1, 2], times).has_timestamps is known
