import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.data.dataset import Dataset
from recsys.data.sources import table
from recsys.data.sources.table import Table
from recsys.errors import DataError, shortened


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "own.csv"


def test_columns_scale_and_separator_can_be_set(file: Path) -> None:
    file.write_text('note;stars;what;who;when\nx;10;"Tea; green";eve;5\ny;0;Cup;bob;7\n;7.5;Cup;eve;9\n')
    source = Table(str(file), "shop", "who", "what", "stars", time="when", separator=";", scale=(0, 10))
    dataset = source.load()
    assert (dataset.name, dataset.scale, len(dataset)) == ("shop", (0.0, 10.0), 3)
    assert dataset.user_ids.to_ids(dataset.users).tolist() == ["eve", "bob", "eve"]
    assert dataset.item_ids.to_ids(dataset.items).tolist() == ["Tea; green", "Cup", "Cup"]
    assert dataset.ratings.tolist() == [10, 0, 7.5]
    assert dataset.timestamps.tolist() == [5, 7, 9]
    assert dataset.has_timestamps
    assert dataset.item_table["title"].tolist() == ["item Cup", "item Tea; green"]
    assert dataset.item_table["year"].isna().all()


def test_integer_ids_stay_integers_and_timestamps_are_optional(file: Path) -> None:
    file.write_text("user,item,rating,timestamp\n12,5,4,99\n7,5,3,98\n")
    dataset = Table(str(file)).load()
    assert dataset.user_ids.ids.tolist() == [7, 12]
    assert not dataset.has_timestamps


@pytest.mark.parametrize("how", ["in place", "replaced"])
def test_a_file_that_changes_while_it_is_read_is_refused(
    file: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the ratings could be parts of two versions."""
    text = "user,item,rating\n12,5,4\n7,5,3\n"
    file.write_text(text)
    read = table.read_file

    def read_and_change(*arguments: Any) -> Any:
        result = read(*arguments)
        if how == "replaced":
            file.unlink()
        file.write_text(text.replace("12,5,4", "12,5,1"))
        os.utime(file, ns=(0, 0))
        return result

    monkeypatch.setattr(table, "read_file", read_and_change)
    with pytest.raises(DataError, match=r"own\.csv: changed while it was read; run the command again"):
        Table(str(file)).load()
    monkeypatch.undo()
    assert Table(str(file)).load().ratings.tolist() == [1, 3]


@pytest.mark.parametrize("name", ["item", "movie", "movieId", "title"])
def test_the_item_column_has_several_default_names(file: Path, name: str) -> None:
    file.write_text(f"user,{name},rating\na,b,4\n")
    assert Table(str(file)).load().item_ids.ids.tolist() == ["b"]


def test_the_ids_in_a_title_column_are_titles(file: Path) -> None:
    file.write_text("user,title,rating\na,Heat (1995),4\na,Fargo,3\n")
    items = Table(str(file)).load().item_table
    assert items["title"].tolist() == ["Fargo", "Heat (1995)"]
    assert items["year"].fillna(0).tolist() == [0, 1995]


def test_a_configured_item_column_has_no_other_names(file: Path) -> None:
    file.write_text("user,movie,rating\na,b,4\n")
    with pytest.raises(
        DataError, match=r"own\.csv line 1: no column 'film'; the file has 'user', 'movie', 'rating'"
    ):
        Table(str(file), item="film").load()


def test_a_file_without_an_item_column_is_reported(file: Path) -> None:
    file.write_text("user,film,rating\na,b,4\n")
    message = r"no column 'item' or 'movie' or 'movieId' or 'title'; the file has 'user', 'film', 'rating'"
    with pytest.raises(DataError, match=message):
        Table(str(file)).load()


def test_the_scale_must_be_ascending(file: Path) -> None:
    file.touch()
    (message,) = Table(str(file), scale=(5, 1)).check()
    assert message == "data.scale=[5, 1]: the lowest rating comes first, the highest second"


@pytest.mark.parametrize("separator", ["\t", r"\t"])
def test_a_tab_may_be_written_with_a_backslash(file: Path, separator: str) -> None:
    file.write_text("user\titem\trating\na\tb\t4\n")
    assert Table(str(file), separator=separator).load().ratings.tolist() == [4]


IMPOSSIBLE = ["::", "", "  ", "," * 9999, *'§·é\u2028\0\n\r"a1.-+', r"\n"]


@pytest.mark.parametrize("separator", IMPOSSIBLE)
def test_the_separator_must_be_a_possible_ascii_character(file: Path, separator: str) -> None:
    file.write_bytes(f"user{separator}item{separator}rating\n1{separator}2{separator}3\n".encode())
    source = Table(str(file), separator=separator)
    (message,) = source.check()
    assert message.startswith(
        f"data.separator={shortened(separator)}: must be one ASCII character that is not "
    )
    assert len(message) < 300
    with pytest.raises(DataError) as error:
        source.load()
    assert str(error.value) == message


@pytest.mark.parametrize("separator", [*" ,;:|\t/\\'#~_^&!*", "\x01", "\x1f"])
def test_other_ascii_characters_are_separators(file: Path, separator: str) -> None:
    file.write_bytes(f"user{separator}item{separator}rating\n1{separator}2{separator}3.5\n".encode())
    dataset = Table(str(file), separator=separator).load()
    assert (dataset.user_ids.ids.tolist(), dataset.item_ids.ids.tolist()) == ([1], [2])
    assert dataset.ratings.tolist() == [3.5]


def test_bad_rows_are_errors_or_dropped(file: Path) -> None:
    file.write_text("user,item,rating\na,b,4\na,c,9\n")
    with pytest.raises(DataError, match=r"own\.csv line 3: rating '9' is off the scale 1 to 5"):
        Table(str(file)).load()
    dataset = Table(str(file), on_bad_rows="drop").load()
    assert (len(dataset), dataset.dropped) == (1, 1)


@pytest.mark.parametrize(("path", "why"), [("nowhere.csv", "No such file"), (".", "Is a directory")])
def test_a_file_that_cannot_be_read_is_reported(path: str, why: str) -> None:
    with pytest.raises(DataError, match=f"^data.path={path}: {why}"):
        Table(path).load()


@pytest.mark.parametrize("kind", ["a FIFO", "a device", "a link to a FIFO"])
def test_a_path_that_cannot_be_read_twice_is_refused_without_reading(kind: str, tmp_path: Path) -> None:
    path = Path("/dev/null")
    if kind != "a device":
        path = tmp_path / "pipe"
        os.mkfifo(path)  # reading it would wait for a writer
    if kind == "a link to a FIFO":
        path = tmp_path / "link"
        path.symlink_to("pipe")
    (message,) = Table(str(path)).check()
    assert message.startswith(f"data.path={path}: not a regular file, but a pipe or a device")
    with pytest.raises(DataError, match=r"save it to a file first$"):
        Table(str(path)).load()


def test_a_path_that_is_too_long_is_reported() -> None:
    (message,) = Table("x" * 10_000).check()
    assert re.fullmatch(r"data\.path=x{200}\.\.\. \(10,000 characters\): File name too long", message)


def test_a_missing_file_is_reported_before_it_is_read() -> None:
    assert list(Table("nowhere.csv").check()) == ["data.path=nowhere.csv: No such file or directory"]


def test_a_data_folder_that_cannot_be_used_is_reported(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("user,item,rating\na,b,4\n")
    monkeypatch.setenv("RECSYS_DATA", "own.csv/data")
    with pytest.raises(DataError, match=r"^RECSYS_DATA=own\.csv/data: cannot be used: Not a directory; "):
        Table(str(file)).load()


def test_the_path_may_start_with_a_tilde(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("user,item,rating\na,b,4\n")
    monkeypatch.setenv("HOME", str(file.parent))
    assert len(Table("~/own.csv").load()) == 1


def test_a_second_load_reads_the_cache_unless_the_file_has_changed(tmp_path: Path, monkeypatch) -> None:
    file = tmp_path / "own.csv"
    file.write_text("user,item,rating\na,x,1\nb,y,2\n")
    first = Table(str(file)).load()
    with monkeypatch.context() as patch:
        patch.setattr("recsys.data.sources.table.read_file", lambda *_: pytest.fail("read again"))
        again = Table("own.csv").load()  # the same file by its relative path
    assert again.user_ids.ids.tolist() == first.user_ids.ids.tolist() == ["a", "b"]
    assert again.ratings.tolist() == [1, 2]
    file.write_text("user,item,rating\na,x,1\nb,y,2\nb,x,5\n")
    assert len(Table(str(file)).load()) == 3
    assert Table(str(file), scale=(0, 5)).load().scale == (0, 5)


def load_text(folder: Path, text: str, **options: object) -> Dataset:
    """Write a file and load it."""
    file = folder / "own.csv"
    file.write_text(text, "utf-8")
    return Table(str(file), **{"time": None, "scale": (0.5, 5.0), **options}).load()


IDS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters=',"'), min_size=1, max_size=8)
IDS = IDS.filter(lambda text: text.strip() == text and "\ufffd" not in text)


@pytest.mark.slow
def test_ids_of_any_characters_are_kept(tmp_path_factory) -> None:
    folder = tmp_path_factory.mktemp("fuzz")

    @settings(max_examples=150)
    @given(st.sets(st.tuples(IDS | st.integers(-(2**63), 2**63 - 1).map(str), IDS), min_size=1, max_size=20))
    def check(pairs: set[tuple[str, str]]) -> None:
        dataset = load_text(folder, "user,item,rating\n" + "".join(f"{u},{m},3\n" for u, m in pairs))
        users, items = dataset.user_ids.to_ids(dataset.users), dataset.item_ids.to_ids(dataset.items)
        assert {(str(user), str(item)) for user, item in zip(users, items, strict=True)} == pairs

    check()


@pytest.mark.parametrize("data", ["one", "one user", "one item", "all equal", "far future"])
def test_edge_cases_are_read(data: str, tmp_path: Path) -> None:
    users, items = {"one": (1, 1), "one user": (1, 9), "one item": (9, 1)}.get(data, (4, 4))
    time = 2**40 if data == "far future" else 1
    lines = [f"{user},{item},3,{time}\n" for user in range(users) for item in range(items)]
    dataset = load_text(tmp_path, "user,item,rating,time\n" + "".join(lines), time="time")
    assert (len(dataset), len(dataset.user_ids), len(dataset.item_ids)) == (users * items, users, items)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"scale": (-1e308, 1e308)},
            "data.scale=[-1e+308, 1e+308]: ratings must be between -1e+09 and 1e+09",
        ),
        (
            {"name": "日" * 90},
            f"data.name='{'日' * 60}...' (90 characters): at most 100 bytes of UTF-8, as in a file name",
        ),
    ],
)
def test_values_that_fit_no_file_or_number_are_refused(options: dict, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("user,item,rating\n1,1,3\n", "utf-8")
    assert list(Table(str(tmp_path / "a.csv"), **options).check()) == [message]
