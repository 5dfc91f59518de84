from pathlib import Path

import pytest

from recsys.errors import DataError
from recsys.inference.ratings_csv import read_ratings_csv
from recsys.inference.titles import Titles

FILMS = Titles(["Star Wars (1977)", "Postino, Il (1994)", "Heat (1995)"])


def read(text: str, tmp_path: Path) -> dict[int, float]:
    file = tmp_path / "eve.csv"
    file.write_bytes(text.encode())
    return read_ratings_csv(file, FILMS.find, (1, 5))


def test_reads_titles_in_any_dress(tmp_path: Path) -> None:
    text = '\ufeffwhen,item,rating\r\n1,star wars,5\r\n2,"Postino, Il (1994)", 2.5\r\n\r\n3, heat ,1\r\n'
    assert read(text, tmp_path) == {0: 5, 1: 2.5, 2: 1}


@pytest.mark.parametrize("text", ["", "item,rating\n", "item,rating", "item,rating\n\n\n"])
def test_a_file_may_be_empty(text: str, tmp_path: Path) -> None:
    assert read(text, tmp_path) == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("item,rating\nheat,5\n", "line 1: no column 'item'; the file has 'item', 'rating', and"),
        ("star wars,5\n", "line 1: no column 'item'; the file has 'star wars', '5', and 'item,rating'"),
        ("item,rating\nheat,5\nstar wars,6\n", "line 3: rating 6 is off the scale, 1 to 5"),
        ("item,rating\nheat,nan\n", "line 2: rating nan is off the scale"),
        ("item,rating\nheat,good\n", "line 2: rating 'good' is not a number"),
        ("item,rating\nheat,\n", "line 2: rating '' is not a number"),
        ("item,rating\nheat,4\n\nHeat (1995),5\n", "line 4: item 'Heat (1995)' stands in line 2 already"),
        (
            "item,rating\nhaet,4\n",
            "line 2: item='haet': no item is called so; the nearest: Heat (1995) [2]",
        ),
        (
            "item,rating\nPostino, Il,4\n",
            "line 2: 2 fields expected, 3 found ('Postino,Il,4'); a title with",
        ),
    ],
)
def test_tells_file_line_and_value(text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read(text, tmp_path)
    assert f"eve.csv {told}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_tells_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"ratings=.*none.csv: No such file"):
        read_ratings_csv(tmp_path / "none.csv", FILMS.find, (1, 5))
    (tmp_path / "eve.csv").write_bytes(b"item,rating\nCit\xe9,3\n")
    with pytest.raises(DataError, match="not UTF-8 text"):
        read_ratings_csv(tmp_path / "eve.csv", FILMS.find, (1, 5))
