"""Items that are named by a number: an unknown id is an error and never another item."""

import numpy as np
import pandas as pd
import pytest
from support.catalogues import catalogue_of

from recsys.data.dataset import encode
from recsys.errors import UnknownIdError
from recsys.inference.catalogue import Catalogue

TITLES = {
    11: "1900 (Novecento) (1976)",
    12: "300 (2006)",
    13: "12 Monkeys (1995)",
    14: "2001: A Space Odyssey (1968)",
    15: "Alien³ (1992)",
    16: "8½ (1963)",
    17: "-30- (1959)",
    18: "Apollo 13 (1995)",
    19: "Catch-22 (1970)",
    20: "(500) Days of Summer (2009)",
}
# An unknown id in many notations. Some look like 1 or 2 once a sign or the kind of digit is ignored.
NUMBERS = [
    "-1",
    "+1",
    "\u22121",
    "①",
    "²",
    "\uff11",
    "٣",
    "1_0",
    "1_000",
    "1.0",
    "1,0",
    "1 2",
    "#1",
    "(1)",
    "1!",
    "99",
]


def catalogue(ids: list, titles: list[str] | None = None) -> Catalogue:
    """Return items with the given titles; without titles, they get default ones."""
    users = np.arange(len(ids))
    ratings = pd.DataFrame({"user": users, "item": ids, "rating": 3.0, "timestamp": 0})
    items = pd.DataFrame({"item": ids if titles else [], "title": titles or []})
    return catalogue_of(encode("items", ratings, items.assign(year=None, genres=""), (1, 5)))


@pytest.fixture(scope="module")
def titled() -> Catalogue:
    return catalogue(list(TITLES), list(TITLES.values()))


@pytest.mark.parametrize("query", [*NUMBERS, "movie 1", "item 1", "item -1", "Item 2", "1e1", "0x1"])
@pytest.mark.parametrize(
    "ids", [[1, 2, 3, 10, 12], ["1", "2", "3", "10", "12", "a"]], ids=["integers", "text"]
)
def test_without_titles_only_ids_name_items(ids: list, query: str) -> None:
    items = catalogue(ids)
    with pytest.raises(UnknownIdError) as error:
        items.to_index(query)
    if isinstance(ids[0], int):
        assert "item id" in str(error.value)
        assert "(the nearest known: " in str(error.value)
    assert items.to_indices([query], missing_ok=True).tolist() == [-1]
    assert [items.to_index(str(id)) for id in ids] == items.ids.to_indices(ids).tolist()


@pytest.mark.parametrize(
    "query", [*NUMBERS, "1968", "1995", "13.0", "-300", "\uff13\uff10\uff10", "30", "22", "²2", "12.0"]
)
def test_with_titles_an_unknown_number_is_no_item(titled: Catalogue, query: str) -> None:
    with pytest.raises(UnknownIdError, match=r"item id.*\(the nearest known: "):
        titled.to_index(query)
    assert titled.to_index(query, missing_ok=True) == -1


@pytest.mark.parametrize(
    ("query", "id"),
    [
        *(("1900", 11), ("1900 (1976)", 11), ("1900 1976", 11), (" 1900 (novecento)", 11)),
        *(("300", 12), ("300 (2006)", 12), ("300 2006", 12)),
        *(("12 Monkeys", 13), ("12 monkeys 1995", 13)),
        *(("2001: A Space Odyssey", 14), ("2001 a space odyssey", 14), ("2001", 14), ("space odyssey", 14)),
        *(("alien³", 15), ("alien3", 15), ("Alien³ (1992)", 15)),
        *(("8½", 16), ("8½ (1963)", 16), ("-30-", 17), ("-30- 1959", 17), ("apollo 13", 18), ("13", 13)),
        *(("catch 22", 19), ("catch-22", 19), ("500", 20), ("500 days of summer", 20), ("(500) days", 20)),
        *(("11", 11), (" 12 ", 12)),
    ],
)
def test_titles_with_numbers_are_found(titled: Catalogue, query: str, id: int) -> None:
    assert titled.ids.ids[titled.to_index(query)] == id


@pytest.mark.parametrize(
    "query", ["apollo -13", "apollo +13", "apollo ¹³", "apollo \uff11\uff13", "-12 monkeys", "catch -22"]
)
def test_a_sign_or_another_digit_in_a_title_is_kept(titled: Catalogue, query: str) -> None:
    with pytest.raises(UnknownIdError, match="no item has this title"):
        titled.to_index(query)


@pytest.mark.parametrize("query", ["9" * 5000, "-" + "9" * 5000, "9" * 30, "x" * 5000, "no\0such\0item"])
def test_long_and_unprintable_queries_have_a_short_error(titled: Catalogue, query: str) -> None:
    for items in (titled, catalogue([1, 2, 3]), catalogue(["u0", "u1"])):
        with pytest.raises(UnknownIdError) as error:
            items.to_index(query)
        assert len(str(error.value)) < 200
        assert str(error.value).isprintable()


def test_an_item_with_a_nul_character_is_unknown() -> None:
    items = catalogue(["u0", "u1"])
    for query in ("u0\0", ["u0\0"], np.array(["u0\0"], dtype=object)):
        with pytest.raises(UnknownIdError, match=r"unknown item id: 'u0\\x00' \(the nearest known: u0"):
            items.to_indices(query)
