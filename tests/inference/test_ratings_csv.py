import os
from pathlib import Path

import pytest

from recsys.errors import DataError
from recsys.inference.ratings_csv import read_ratings_csv
from recsys.inference.titles import Titles

TITLES = Titles(["Star Wars (1977)", "Postino, Il (1994)", "Heat (1995)"])


def read(text: str, tmp_path: Path) -> dict[int, float]:
    file = tmp_path / "eve.csv"
    file.write_bytes(text.encode())
    return read_ratings_csv(file, TITLES.find, (1, 5))


def test_reads_titles_in_any_format(tmp_path: Path) -> None:
    text = '\ufeffwhen,item,rating\r\n1,star wars,5\r\n2,"Postino, Il (1994)", 2.5\r\n\r\n3, heat ,1\r\n'
    assert read(text, tmp_path) == {0: 5, 1: 2.5, 2: 1}


@pytest.mark.parametrize("name", ["item", "movie", "movieId", "title"])
def test_the_item_column_has_several_names(name: str, tmp_path: Path) -> None:
    assert read(f"rating,{name}\n4,heat\n", tmp_path) == {2: 4}


def test_an_id_column_takes_precedence_over_a_title_column(tmp_path: Path) -> None:
    assert read("title,movieId,rating\nunknown,heat,4\n", tmp_path) == {2: 4}


@pytest.mark.parametrize("text", ["", "item,rating\n", "item,rating", "item,rating\n\n\n"])
def test_a_file_may_be_empty(text: str, tmp_path: Path) -> None:
    assert read(text, tmp_path) == {}


@pytest.mark.parametrize(
    ("text", "line", "facts"),
    [
        ("film,rating\nheat,5\n", 1, ["item, movie, movieId, title", "'film', 'rating'", "item,rating"]),
        ("item,stars\nheat,5\n", 1, ["'rating'", "'item', 'stars'"]),
        ("star wars,5\n", 1, ["'star wars', '5'"]),
        ("item,rating\nheat,5\nstar wars,6\n", 3, ["rating 6", "between 1 and 5"]),
        ("item,rating\nheat,nan\n", 2, ["rating nan"]),
        ("item,rating\nheat,good\n", 2, ["rating 'good'", "number"]),
        ("item,rating\nheat,0_5\n", 2, ["rating '0_5' is not a number"]),
        ("item,rating\nheat,٤\n", 2, ["rating '٤' is not a number"]),
        ("item,rating\nheat,\uff14\n", 2, ["rating '\uff14' is not a number"]),
        ("item,rating\nheat," + "9" * 5000, 2, ["rating 9999", "(5,000 characters) must be between 1 and 5"]),
        ("item,rating\nheat,x" + "9" * 5000, 2, ["rating 'x999", "(5,001 characters) is not a number"]),
        ("item,rating\n" + "9" * 5000 + ",4\n", 2, ["item='9999", "(5,000 characters)"]),
        ("item,rating\nheat" + ",4" * 5000, 2, ["2 fields expected, 5001 found", "(10,004 characters)"]),
        ("item" + ",x" * 50_000 + "\nheat,4\n", 1, ["two columns have the same name", "(50001 in total)"]),
        ("x" * 100_000 + "\nheat,4\n", 1, ["no item column", "(100,000 characters)"]),
        ('item,rating\nheat,"4\nstar wars,5\n', 2, ["a quote is not closed in this line ('heat,\"4')"]),
        ('item,rating\n"heat\n",4\nstar wars,5\n', 2, ["a quote is not closed in this line"]),
        ("item,rating\nheat,\n", 2, ["rating ''", "number"]),
        (
            "item,rating,rating\nheat,4,5\n",
            1,
            ["two columns have the same name ('item', 'rating', 'rating')"],
        ),
        ("\nitem,rating,rating\nheat,4,5\n", 2, ["two columns have the same name"]),
        ("item,rating\nheat,4\n\nHeat (1995),5\n", 4, ["item 'Heat (1995)'", "line 2"]),
        ("item,rating\nhaet,4\n", 2, ["item='haet'", "no item has this title", "Heat (1995) [2]"]),
        ("item,rating\nPostino, Il,4\n", 2, ["2 fields expected, 3 found", "'Postino,Il,4'", "quote"]),
    ],
)
def test_names_file_line_and_value(text: str, line: int, facts: list[str], tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read(text, tmp_path)
    message = str(caught.value)
    assert f"eve.csv line {line}: " in message
    assert all(fact in message for fact in facts), message
    assert "\n" not in message
    assert len(message) < 600


def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, b"item,rating\nheat,4\n")
    os.close(write_end)
    try:
        assert read_ratings_csv(Path(f"/dev/fd/{read_end}"), TITLES.find, (1, 5)) == {2: 4}
    finally:
        os.close(read_end)


def test_devices_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"^ratings=/dev/zero: is a device; give the path of a CSV file or a pipe$"
    ):
        read_ratings_csv(Path("/dev/zero"), TITLES.find, (1, 5))
    with pytest.raises(DataError, match=r"^ratings=.*: Is a directory; give the path of a CSV file$"):
        read_ratings_csv(tmp_path, TITLES.find, (1, 5))


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"ratings=.*none.csv: No such file"):
        read_ratings_csv(tmp_path / "none.csv", TITLES.find, (1, 5))
    (tmp_path / "eve.csv").write_bytes(b"item,rating\nCit\xe9,3\n")
    with pytest.raises(DataError, match="not UTF-8 text"):
        read_ratings_csv(tmp_path / "eve.csv", TITLES.find, (1, 5))


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_that_of_the_header(separator: str, tmp_path: Path) -> None:
    file = tmp_path / "eve.csv"
    file.write_text(f"item{separator}rating\nHeat{separator}4\n")
    assert read_ratings_csv(file, lambda title: {"Heat": 3}[title], (1, 5)) == {3: 4}


def test_a_parquet_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "eve.parquet").write_bytes(b"PAR1\x15\x04")
    with pytest.raises(DataError, match=r"ratings=.*eve\.parquet: is a Parquet file; save it as CSV"):
        read_ratings_csv(tmp_path / "eve.parquet", len, (1, 5))
