import numpy as np
import pandas as pd
import pytest
from support.catalogues import catalogue_of

from recsys.data.dataset import encode
from recsys.errors import DataError, UnknownIdError
from recsys.inference.catalogue import Catalogue

ITEMS = [
    (50, "Star Wars (1977)", 1977, "Action|Sci-Fi"),
    (1, "Toy Story (1995)", 1995, "Animation|Children's"),
    (2001, "Heat", None, "Crime"),
    (7, "2001: A Space Odyssey (1968)", 1968, "Sci-Fi"),
    (8, "50 First Dates", 2004, ""),
]


@pytest.fixture
def catalogue() -> Catalogue:
    items = pd.DataFrame(ITEMS, columns=["item", "title", "year", "genres"]).astype({"year": "Int32"})
    rated = [1, 7, 8, 50, 50, 2001, 50]
    users = np.arange(len(rated))
    ratings = pd.DataFrame({"user": users, "item": rated, "rating": 3.0, "timestamp": 0})
    return catalogue_of(encode("items", ratings, items, (1, 5)))


def test_ids_take_precedence_over_titles(catalogue: Catalogue) -> None:
    assert catalogue.ids.to_ids(catalogue.to_indices([50, 2001])).tolist() == [50, 2001]
    queries = np.array([["50", "2001", "star wars"], ["heat", "2001 a space odyssey", "50 first dates"]])
    assert catalogue.ids.to_ids(catalogue.to_indices(queries)).tolist() == [[50, 2001, 50], [2001, 7, 8]]
    assert catalogue.to_indices("heat").shape == ()


def test_unknown_items(catalogue: Catalogue) -> None:
    with pytest.raises(UnknownIdError, match=r"unknown item id: 51 \(the nearest known: 50, 2001\)"):
        catalogue.to_indices([50, 51])
    with pytest.raises(UnknownIdError, match=r"item='toy sorty': no item has this title.*Toy Story"):
        catalogue.to_indices("toy sorty")
    with pytest.raises(UnknownIdError, match="None"):
        catalogue.to_indices([None])
    assert catalogue.to_indices([50, 51], missing_ok=True).tolist() == [3, -1]
    assert catalogue.to_indices(["toy sorty", "heat"], missing_ok=True).tolist() == [-1, 4]


def test_ids_below_zero() -> None:
    ratings = pd.DataFrame({"user": [1, 1], "item": [-5, 5], "rating": 3.0, "timestamp": 0})
    items = pd.DataFrame({"item": [], "title": [], "year": [], "genres": []})
    assert catalogue_of(encode("items", ratings, items, (1, 5))).to_indices(["-5", "5"]).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("genres", "years", "expected"),
    [
        (["Sci-Fi"], None, [7, 50]),
        ("scifi", None, [7, 50]),
        (["childrens", "CRIME"], None, [1, 2001]),
        (None, 1995, [1]),
        (None, [1968, 1977], [7, 50]),
        ("Sci-Fi", [1970, 1980], [50]),
    ],
)
def test_filters_by_genre_and_year(
    catalogue: Catalogue, genres: object, years: object, expected: list[int]
) -> None:
    allowed = catalogue.allowed(genres, years)
    assert allowed is not None
    assert catalogue.ids.ids[allowed].tolist() == expected


def test_no_filter_allows_all_items(catalogue: Catalogue) -> None:
    assert catalogue.allowed() is None


def test_impossible_filters_are_refused(catalogue: Catalogue) -> None:
    with pytest.raises(DataError, match=r"genres=Western: .*Action, Animation, Children's, Crime"):
        catalogue.allowed(["Western", "Crime"])
    with pytest.raises(DataError, match=r"genres=Crime, years=1995: no item"):
        catalogue.allowed("Crime", 1995)


def test_a_table_clips_only_predictions(catalogue: Catalogue) -> None:
    indices, values = np.array([3, 0]), np.array([5.5, 0.2], dtype=np.float32)
    table = catalogue.table(indices, values)
    assert table.to_dict("list") == {
        "item": [50, 1],
        "title": ["Star Wars (1977)", "Toy Story (1995)"],
        "year": [1977, 1995],
        "genres": ["Action|Sci-Fi", "Animation|Children's"],
        "prediction": [5.0, 1.0],
        "ratings": [3, 1],
    }
    similarities = catalogue.table(indices, values, "similarity")["similarity"]
    assert similarities.tolist() == pytest.approx([5.5, 0.2])


def test_a_query_that_is_too_long_is_refused_before_it_is_compared(catalogue: Catalogue) -> None:
    with pytest.raises(
        UnknownIdError, match=r"^item='x+\.\.\.' \(100,000 characters\): ids and titles have at most"
    ):
        catalogue.to_index("x" * 100_000)
    assert catalogue.to_index("x" * 100_000, missing_ok=True) == -1
