import pytest

from recsys.errors import UnknownIdError
from recsys.inference.titles import Titles

FILMS = {
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
    return Titles(list(FILMS.values()), list(FILMS))


@pytest.mark.parametrize("title", FILMS.values())
def test_a_title_finds_itself_in_any_case(titles: Titles, title: str) -> None:
    for typed in (title, title.lower(), title.upper(), f"  {title} "):
        assert titles.titles[titles.find(typed)] == title


@pytest.mark.parametrize(
    ("typed", "id"),
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
def test_finds_what_people_type(titles: Titles, typed: str, id: int) -> None:
    assert titles.ids[titles.find(typed)] == id


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("star trek", "item='star trek' may be Star Trek: First Contact (1996) [3]; Star Trek: Gen"),
        ("sabrina", "Sabrina (1995) [274]; Sabrina (1954) [485]: give the id, or more words"),
        ("empire strkes bak", "no item is called so; the nearest: Empire Strikes Back, The (1980) [172]"),
        ("sabrina 1999", "no item is called so; the nearest: Sabrina"),
        ("xyzzy plugh", "item='xyzzy plugh': no item is called so"),
        ("?!", "holds no letter or number"),
    ],
)
def test_offers_what_may_have_been_meant(titles: Titles, typed: str, told: str) -> None:
    with pytest.raises(UnknownIdError) as caught:
        titles.find(typed)
    assert told in str(caught.value)


def test_offers_no_more_than_can_be_read() -> None:
    titles = Titles([f"Rocky {number}" for number in range(30)])
    with pytest.raises(UnknownIdError, match="and 22 more"):
        titles.find("rocky")
