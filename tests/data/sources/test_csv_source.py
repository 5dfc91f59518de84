from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.data.dataset import Dataset
from recsys.data.sources.csv import CsvFile
from recsys.errors import DataError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "own.csv"


def test_own_columns_scale_and_separator(file: Path) -> None:
    file.write_text('note;stars;what;who;when\nx;10;"Tea; green";eve;5\ny;0;Cup;bob;7\n;7.5;Cup;eve;9\n')
    source = CsvFile(
        str(file), "shop", "who", "what", "stars", timestamp="when", separator=";", scale=(0, 10)
    )
    dataset = source.load()
    assert (dataset.name, dataset.scale, len(dataset)) == ("shop", (0.0, 10.0), 3)
    assert dataset.user_ids.to_ids(dataset.users).tolist() == ["eve", "bob", "eve"]
    assert dataset.item_ids.to_ids(dataset.items).tolist() == ["Tea; green", "Cup", "Cup"]
    assert dataset.ratings.tolist() == [10, 0, 7.5]
    assert dataset.timestamps.tolist() == [5, 7, 9]
    assert dataset.has_timestamps
    assert dataset.item_table["title"].tolist() == ["item Cup", "item Tea; green"]
    assert dataset.item_table["year"].isna().all()


def test_whole_numbers_stay_numbers_and_times_may_be_unknown(file: Path) -> None:
    file.write_text("user,item,rating,timestamp\n12,5,4,99\n7,5,3,98\n")
    dataset = CsvFile(str(file)).load()
    assert dataset.user_ids.ids.tolist() == [7, 12]
    assert not dataset.has_timestamps


@pytest.mark.parametrize("separator", ["\t", r"\t"])
def test_a_tab_may_be_written_as_a_shell_passes_it(file: Path, separator: str) -> None:
    file.write_text("user\titem\trating\na\tb\t4\n")
    assert CsvFile(str(file), separator=separator).load().ratings.tolist() == [4]


@pytest.mark.parametrize("separator", ["::", ""])
def test_a_separator_is_one_character(file: Path, separator: str) -> None:
    file.write_text("user::item::rating\n")
    with pytest.raises(DataError, match=f"^data.separator='{separator}': one character expected"):
        CsvFile(str(file), separator=separator).load()


def test_bad_rows_are_errors_or_dropped(file: Path) -> None:
    file.write_text("user,item,rating\na,b,4\na,c,9\n")
    with pytest.raises(DataError, match=r"own\.csv line 3: rating '9' is off the scale 1 to 5"):
        CsvFile(str(file)).load()
    dataset = CsvFile(str(file), on_bad_rows="drop").load()
    assert (len(dataset), dataset.dropped) == (1, 1)


@pytest.mark.parametrize(("path", "why"), [("nowhere.csv", "No such file"), (".", "Is a directory")])
def test_a_file_that_cannot_be_read_is_named(path: str, why: str) -> None:
    with pytest.raises(DataError, match=f"^data.path={path}: {why}"):
        CsvFile(path).load()


def test_a_data_folder_that_cannot_be_used_is_not_the_files_fault(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text("user,item,rating\na,b,4\n")
    monkeypatch.setenv("RECSYS_DATA", "own.csv/data")
    with pytest.raises(DataError) as told:
        CsvFile(str(file)).load()
    assert str(told.value) == (
        "RECSYS_DATA=own.csv/data: cannot be used: Not a directory; RECSYS_DATA=<folder> names another"
    )


def test_the_home_folder_may_be_written_short(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("user,item,rating\na,b,4\n")
    monkeypatch.setenv("HOME", str(file.parent))
    assert len(CsvFile("~/own.csv").load()) == 1


def test_a_second_load_maps_what_was_encoded_until_the_file_changes(tmp_path: Path, monkeypatch) -> None:
    file = tmp_path / "own.csv"
    file.write_text("user,item,rating\na,x,1\nb,y,2\n")
    first = CsvFile(str(file)).load()
    with monkeypatch.context() as patch:
        patch.setattr("recsys.data.sources.csv.read_ratings", lambda *_: pytest.fail("read again"))
        again = CsvFile("own.csv").load()  # the same file, seen from its folder
    assert again.user_ids.ids.tolist() == first.user_ids.ids.tolist() == ["a", "b"]
    assert again.ratings.tolist() == [1, 2]
    file.write_text("user,item,rating\na,x,1\nb,y,2\nb,x,5\n")
    assert len(CsvFile(str(file)).load()) == 3
    assert CsvFile(str(file), scale=(0, 5)).load().scale == (0, 5)


def own(folder: Path, text: str, **choices: object) -> Dataset:
    """Somebody's own file."""
    file = folder / "mine.csv"
    file.write_text(text, "utf-8")
    return CsvFile(str(file), **{"timestamp": None, "scale": (0.5, 5.0), **choices}).load()


IDS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters=',"'), min_size=1, max_size=8)
IDS = IDS.filter(lambda text: text.strip() == text and "\ufffd" not in text)


def test_ids_of_any_letters_come_back_as_they_were(tmp_path_factory) -> None:
    folder = tmp_path_factory.mktemp("fuzz")

    @settings(max_examples=150)
    @given(st.sets(st.tuples(IDS | st.integers(-(2**63), 2**63 - 1).map(str), IDS), min_size=1, max_size=20))
    def check(pairs: set[tuple[str, str]]) -> None:
        dataset = own(folder, "user,item,rating\n" + "".join(f"{u},{m},3\n" for u, m in pairs))
        users, items = dataset.user_ids.to_ids(dataset.users), dataset.item_ids.to_ids(dataset.items)
        assert {(str(user), str(item)) for user, item in zip(users, items, strict=True)} == pairs

    check()


@pytest.mark.parametrize("data", ["one", "one user", "one item", "all equal", "far future"])
def test_the_smallest_and_the_dullest_files_are_read(data: str, tmp_path: Path) -> None:
    users, items = {"one": (1, 1), "one user": (1, 9), "one item": (9, 1)}.get(data, (4, 4))
    time = 2**40 if data == "far future" else 1
    lines = [f"{user},{item},3,{time}\n" for user in range(users) for item in range(items)]
    dataset = own(tmp_path, "user,item,rating,time\n" + "".join(lines), timestamp="time")
    assert (len(dataset), len(dataset.user_ids), len(dataset.item_ids)) == (users * items, users, items)
