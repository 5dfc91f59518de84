import pytest

from recsys.errors import UnknownIdError
from recsys.inference.titles import Titles

TITLES = {
    172: "Empire Strikes Back, The (1980)",
    273: "Heat (1995)",
    9: "Dead Heat (1988)",
    274: "Sabrina (1995)",
    485: "Sabrina (1954)",
    1: "Postino, Il (1994)",
    2: "City of Lost Children, The (Cité des enfants perdus, La) (1995)",
    3: "Star Trek: First Contact (1996)",
    4: "Star Trek: Generations (1994)",
    5: "Schindler's List (1993)",
    6: "Wallace & Gromit: A Close Shave",
    7: "2001: A Space Odyssey (1968)",
    8: "1984 (1956)",
    10: "Vitamin A (2001)",
    11: "À bout de souffle (Breathless) (1960)",
    12: "Seven (a.k.a. Se7en) (1995)",
    13: "Once Were Warriors (1994)",
}


@pytest.fixture(scope="module")
def titles() -> Titles:
    return Titles(list(TITLES.values()), list(TITLES))


@pytest.mark.parametrize("title", TITLES.values())
def test_finds_the_own_title_in_any_case(titles: Titles, title: str) -> None:
    for query in (title, title.lower(), title.upper(), f"  {title} "):
        assert titles.titles[titles.find(query)] == title


@pytest.mark.parametrize(
    ("query", "id"),
    [
        ("empire strikes back", 172),
        ("The Empire Strikes Back", 172),
        ("the empire strikes back 1980", 172),
        ("heat", 273),
        ("dead heat", 9),
        ("Sabrina 1954", 485),
        ("sabrina (1995)", 274),
        ("il postino", 1),
        ("postino", 1),
        ("city of lost children", 2),
        ("la cite des enfants perdus", 2),
        ("first contact", 3),
        ("contact star trek", 3),
        ("schindlers list", 5),
        ("Schindler\N{RIGHT SINGLE QUOTATION MARK}s List", 5),
        ("wallace and gromit a close shave", 6),
        ("2001 a space odyssey", 7),
        ("2001", 7),
        ("1984", 8),
        ("vitamin a", 10),
        ("a bout de souffle", 11),
        ("breathless", 11),
        ("se7en", 12),
        ("once were warriors", 13),
    ],
)
def test_finds_partial_titles(titles: Titles, query: str, id: int) -> None:
    assert titles.ids[titles.find(query)] == id


@pytest.mark.parametrize(
    ("query", "facts"),
    [
        ("star trek", ["item='star trek'", "Star Trek: First Contact (1996) [3]; Star Trek: Gen"]),
        ("sabrina", ["Sabrina (1995) [274]; Sabrina (1954) [485]", "give the id"]),
        ("empire strkes bak", ["no item has this title", "Empire Strikes Back, The (1980) [172]"]),
        ("sabrina 1999", ["no item has this title", "Sabrina (1995)"]),
        ("xyzzy plugh", ["item='xyzzy plugh': no item has this title"]),
        ("?!", ["item='?!'", "letters or digits"]),
    ],
)
def test_suggests_similar_titles(titles: Titles, query: str, facts: list[str]) -> None:
    with pytest.raises(UnknownIdError) as caught:
        titles.find(query)
    assert all(fact in str(caught.value) for fact in facts), caught.value


def test_suggests_at_most_eight_titles() -> None:
    titles = Titles([f"Rocky {number}" for number in range(30)])
    with pytest.raises(UnknownIdError, match="and 22 more"):
        titles.find("rocky")
