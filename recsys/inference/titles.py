"""Titles: find items by title, ignoring year, commas, quotes, parentheses, accents and capitals.

Numbers in a query are not converted: -1 or a superscript 1 never matches a plain 1. A title is not found by its year
alone.
"""

import difflib
import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import partial

from recsys.errors import UnknownIdError, shortened

ARTICLES = frozenset("the a an le la les l il lo un une der die das ein eine el los las".split())  # noqa: SIM905


class Titles:
    """Finds items by title.

    >>> titles = Titles(["Empire Strikes Back, The (1980)", "Heat (1995)", "Dead Heat (1988)"])
    >>> titles.find("empire strikes back"), titles.find("heat")
    (0, 1)

    Args:
        titles: the title of every item, such as "Postino, Il (1994)"; None for an item without one, which cannot be
            found.
        ids: the raw id of every item, for error messages; None: the item indices.
    """

    def __init__(self, titles: Sequence[str | None], ids: Sequence[object] | None = None) -> None:
        self.titles = list(titles)
        self.ids = list(ids) if ids is not None else list(range(len(self.titles)))
        self._without_year: dict[str, list[int]] = {}  # from normalised title to item indices
        self._with_year: dict[str, list[int]] = {}
        self._numbers: dict[str, list[int]] = {}  # from titles without letters, as they are written
        for index, title in enumerate(self.titles):
            if title is None:
                continue
            names = (*_normalised_titles(title), _written_numbers(title))
            for found, table in zip(names, (self._without_year, self._with_year, self._numbers), strict=True):
                for name in dict.fromkeys(found):
                    table.setdefault(name, []).append(index)

    def __bool__(self) -> bool:
        """Whether any item has a title."""
        return bool(self._with_year)

    def matches(self, query: str) -> list[int]:
        """Return the indices of the items that match best, in ascending order.

        There are three stages: the title equals the query, contains its words in the same order, or contains
        them in any order. Each stage compares without the year first, then with it. The first stage with a
        match decides.

        A query of digits alone matches titles that are this number; if there are none, those that begin with it. Any
        other query with a number and without letters, such as "-1", matches titles that are written in the same way.
        """
        if is_number(query):
            written = _as_written(query)
            if written in self._numbers or not re.fullmatch("[0-9]+", written):
                return self._numbers.get(written, [])
            return sorted(
                {
                    item
                    for title, own in self._without_year.items()
                    if title.split()[0] == written
                    for item in own
                }
            )
        name = _normalise(query)
        for is_match in (_equals, _contains_phrase, _contains_words) if name else ():
            for titles in (self._without_year, self._with_year):
                if found := {item for title in titles if is_match(title, name) for item in titles[title]}:
                    return sorted(found)
        return []

    def find(self, query: str) -> int:
        """Return the index of the only item that matches best; see `matches`.

        Raises:
            UnknownIdError: no item matches, or several match equally well; the message lists candidates with
                their ids.
        """
        found = self.matches(query)
        if len(found) == 1:
            return found[0]
        if found:
            raise UnknownIdError(
                f"item={shortened(query)}: {len(found)} items have a title like this: {self._list(found)}; "
                "give the id or more words of the title"
            )
        name = _normalise(query)
        if not name:
            raise UnknownIdError(f"item={shortened(query)}: a title must have letters or digits")
        near = difflib.get_close_matches(name, self._without_year, n=5, cutoff=0.6)
        similar = list(dict.fromkeys(item for title in near for item in self._without_year[title]))
        hint = f"; similar titles: {self._list(similar)}" if similar else ""
        raise UnknownIdError(f"item={shortened(query)}: no item has this title{hint}")

    def _list(self, items: list[int], limit: int = 8) -> str:
        """Return titles and ids of items for an error message."""
        shown = "; ".join(
            f"{shortened(self.titles[item], quoted=False)} [{self.ids[item]}]" for item in items[:limit]
        )
        return shown + (f"; and {len(items) - limit} more" if len(items) > limit else "")


def is_number(query: str) -> bool:
    """Return whether a text has digits of any script, and no letters: 12, -1, 1_000, 1.5, or a circled 1."""
    return any(letter.isnumeric() for letter in query) and not any(letter.isalpha() for letter in query)


def _equals(title: str, query: str) -> bool:
    return title == query


def _contains_phrase(title: str, query: str) -> bool:
    return f" {query} " in f" {title} "


def _contains_words(title: str, query: str) -> bool:
    return set(query.split()) <= set(title.split())


def _parts(title: str) -> tuple[list[str], list[str]]:
    """Return the names of an item and its years, as they are written.

    "Seven (a.k.a. Se7en) (1995)" has the names "Seven" and "Se7en", and the year "1995".
    """
    parts = re.findall(r"\(([^()]*)\)", title)
    main = re.sub(r"\([^()]*\)", " ", title)
    years = [part for part in parts if re.fullmatch(r"\d{4}", part)]
    return [main, *(re.sub(r"^a\.?k\.?a\.? ", "", part) for part in parts if part not in years)], years


def _normalised_titles(title: str) -> tuple[list[str], list[str]]:
    """Return the normalised names of an item, without year and with it.

    Digits such as superscripts are indexed as they are and as ordinary digits, so both can be typed.
    """
    names, years = _parts(title)
    normalise: list[Callable[[str], str]] = [_normalise]
    if not title.isascii():
        normalise.append(partial(_normalise, plain_digits=True))
    without_year = [name for function in normalise for name in map(function, names) if name]
    with_year = [f"{name} {year}" for name in without_year for year in years]
    return without_year, [*with_year, *(function(title) for function in normalise)]


def _written_numbers(title: str) -> list[str]:
    """Return the names of an item that have digits and no letters, with and without the year, not normalised."""
    names, years = _parts(title)
    numbers = [name for name in map(_as_written, names) if is_number(name)]
    with_year = [
        form.format(name, year) for name in numbers for year in years for form in ("{} {}", "{} ({})")
    ]
    full = [_as_written(title)] if is_number(title) and numbers else []
    return [*numbers, *with_year, *full]


def _as_written(text: str) -> str:
    return " ".join(text.casefold().split())


def _normalise(text: str, plain_digits: bool = False) -> str:
    """Return the words in lower case, without accents and without an article at either end.

    Args:
        text: a title or a query.
        plain_digits: whether digits such as superscripts become ordinary digits.
    """
    plain = "".join(
        letter if _is_special_digit(letter) and not plain_digits else unicodedata.normalize("NFKD", letter)
        for letter in text.casefold()
    )
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    plain = re.sub(r"['`\u2019]", "", plain).replace("&", " and ")
    words = re.findall(r"(?:(?<!\S)[-+\N{MINUS SIGN}](?=\d))?\w+", plain)  # a sign belongs to its number
    year = [words.pop()] if len(words) > 1 and re.fullmatch(r"(19|20)\d\d", words[-1]) else []
    while len(words) > 1 and words[0] in ARTICLES:
        words = words[1:]
    # A trailing article follows a comma: the "A" of "Vitamin A" is not an article.
    trailing = re.search(r",\s*(\w+)['\u2019]?\s*(\(\d{4}\)\s*)?$", plain)
    if len(words) > 1 and trailing and trailing[1] in ARTICLES:
        words = words[:-1]
    return " ".join(words + year)


def _is_special_digit(letter: str) -> bool:
    return not letter.isascii() and unicodedata.category(letter) in ("Nd", "No")
