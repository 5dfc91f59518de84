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
        ("item,rating\nheat,\n", 2, ["rating ''", "number"]),
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


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"ratings=.*none.csv: No such file"):
        read_ratings_csv(tmp_path / "none.csv", TITLES.find, (1, 5))
    (tmp_path / "eve.csv").write_bytes(b"item,rating\nCit\xe9,3\n")
    with pytest.raises(DataError, match="not UTF-8 text"):
        read_ratings_csv(tmp_path / "eve.csv", TITLES.find, (1, 5))
