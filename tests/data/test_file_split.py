"""Several files as one data set, and split=files."""

from pathlib import Path

import pytest
from support.datasets import dataset_of

from recsys.data.dataset import Dataset
from recsys.data.sources.table import Table
from recsys.data.splits import FileSplit
from recsys.errors import DataError

HEADER = "user,item,rating\n"


def files(folder: Path, *texts: str) -> list[str]:
    paths = [folder / f"part{number}.csv" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(HEADER + text)
    return [str(path) for path in paths]


def rows_of(dataset: Dataset) -> list[tuple]:
    users, items = dataset.user_ids.to_ids(dataset.users), dataset.item_ids.to_ids(dataset.items)
    return list(zip(users.tolist(), items.tolist(), dataset.ratings.tolist(), strict=True))


def test_three_files_are_the_three_sets(tmp_path: Path) -> None:
    dataset = Table(files(tmp_path, "1,10,4\n2,10,3\n", "1,20,5\n", "2,20,1\n3,30,2\n")).load()
    split = FileSplit()(dataset)
    assert [rows.tolist() for rows in (split.train, split.val, split.test)] == [[0, 1], [2], [3, 4]]
    assert rows_of(dataset)[4] == (3, 30, 2)
    again = FileSplit()(Table(files(tmp_path, "1,10,4\n2,10,3\n", "1,20,5\n", "2,20,1\n3,30,2\n")).load())
    assert again.fingerprint == split.fingerprint
    other = FileSplit()(Table(files(tmp_path, "1,10,4\n", "2,10,3\n1,20,5\n", "2,20,1\n3,30,2\n")).load())
    assert other.fingerprint != split.fingerprint


def test_the_validation_set_is_drawn_from_the_first_of_two_files(tmp_path: Path) -> None:
    train = "".join(f"{user},{item},3\n" for user in range(5) for item in range(8))
    split = FileSplit(val=0.25)(Table(files(tmp_path, train, "9,1,2\n9,2,2\n")).load())
    assert (len(split.train), len(split.val), split.test.tolist()) == (30, 10, [40, 41])


@pytest.mark.parametrize("n", [0, 1, 4])
def test_another_number_of_files_is_refused(n: int, tmp_path: Path) -> None:
    dataset = dataset_of([1, 2, 3])
    if n:
        dataset = Table(files(tmp_path, *(f"{number},1,3\n" for number in range(n)))).load()
    with pytest.raises(DataError, match=r"needs data=table with two or three files: 'data\.path=\["):
        FileSplit()(dataset)


def test_a_pair_in_two_files_is_an_error_or_the_last_one_counts(tmp_path: Path) -> None:
    paths = files(tmp_path, "1,10,4\n2,10,3\n", "1,20,5\n", "2,10,1\n")
    with pytest.raises(
        DataError, match=r"user 2 and item 10 are in .*part0\.csv and .*part2\.csv; data\.duplicates=last"
    ):
        Table(paths).load()
    dataset = Table(paths, duplicates="last").load()
    assert rows_of(dataset) == [(1, 10, 4), (1, 20, 5), (2, 10, 1)]
    assert dataset.parts == (1, 1, 1)


def test_ids_are_text_if_they_are_in_one_of_the_files(tmp_path: Path) -> None:
    dataset = Table(files(tmp_path, "1,10,4\n", "eve,10,5\n")).load()
    assert rows_of(dataset) == [("1", 10, 4), ("eve", 10, 5)]


def test_errors_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"part1\.csv line 2: rating '9' is off the scale"):
        Table(files(tmp_path, "1,10,4\n", "1,20,9\n")).load()
    (problem,) = Table([str(tmp_path / "part0.csv"), "nowhere.csv"]).check()
    assert problem == "data.path[1]=nowhere.csv: No such file or directory"
    assert list(Table([]).check()) == ["data.path=[]: give the path of a file, or a list of paths"]


def test_a_file_without_known_ids_causes_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    train, test = "1,10,4\n2,10,3\nx,20,1\n", "001,{item},4\n002,{item},3\n"
    FileSplit(val=0.4)(Table(files(tmp_path, train, test.format(item=10))).load())
    assert [record.getMessage().partition(";")[0] for record in caplog.records] == [
        "split=files: no user of the test file occurs in the training file"
    ]
    caplog.clear()
    FileSplit()(Table(files(tmp_path, train, "1,20,4\n", test.format(item=30) + "1,30,2\n")).load())
    assert [record.getMessage().partition(";")[0] for record in caplog.records] == [
        "split=files: no item of the test file occurs in the training file"
    ]
    caplog.clear()
    FileSplit()(Table(files(tmp_path, train, "001,10,4\n", "2,20,1\n")).load())
    assert [record.getMessage().partition(";")[0] for record in caplog.records] == [
        "split=files: no user of the validation file occurs in the training file"
    ]
