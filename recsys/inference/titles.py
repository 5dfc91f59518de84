"""Titles: find items by title, without year, commas, quotes, parentheses, accents or capitals."""

import difflib
import re
import unicodedata
from collections.abc import Sequence

from recsys.errors import UnknownIdError

ARTICLES = frozenset("the a an le la les l il lo un une der die das ein eine el los las".split())  # noqa: SIM905


class Titles:
    """Finds items by title.

    >>> titles = Titles(["Empire Strikes Back, The (1980)", "Heat (1995)", "Dead Heat (1988)"])
    >>> titles.find("empire strikes back"), titles.find("heat")
    (0, 1)

    Args:
        titles: the title of every item, such as "Postino, Il (1994)".
        ids: the raw id of every item, for error messages; None: the item indices.
    """

    def __init__(self, titles: Sequence[str], ids: Sequence[object] | None = None) -> None:
        self.titles = list(titles)
        self.ids = list(ids) if ids is not None else list(range(len(self.titles)))
        self._without_year: dict[str, list[int]] = {}  # from normalised title to item indices
        self._with_year: dict[str, list[int]] = {}
        for index, title in enumerate(self.titles):
            without_year, with_year = _normalised_titles(title)
            for name in dict.fromkeys(without_year):
                self._without_year.setdefault(name, []).append(index)
            for name in dict.fromkeys(with_year):
                self._with_year.setdefault(name, []).append(index)

    def matches(self, query: str) -> list[int]:
        """Return the indices of the items that match best, in ascending order.

        There are three stages: the title equals the query, contains its words in the same order, or contains
        them in any order. Each stage compares without the year first, then with it. The first stage with a
        match decides.
        """
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
                f"item={query!r}: {len(found)} items have a title like this: {self._list(found)}; "
                "give the id or more words of the title"
            )
        name = _normalise(query)
        if not name:
            raise UnknownIdError(f"item={query!r}: a title must have letters or digits")
        near = difflib.get_close_matches(name, self._without_year, n=5, cutoff=0.6)
        similar = list(dict.fromkeys(item for title in near for item in self._without_year[title]))
        hint = f"; similar titles: {self._list(similar)}" if similar else ""
        raise UnknownIdError(f"item={query!r}: no item has this title{hint}")

    def _list(self, items: list[int], limit: int = 8) -> str:
        """Return titles and ids of items for an error message."""
        shown = "; ".join(f"{self.titles[item]} [{self.ids[item]}]" for item in items[:limit])
        return shown + (f"; and {len(items) - limit} more" if len(items) > limit else "")


def _equals(title: str, query: str) -> bool:
    return title == query


def _contains_phrase(title: str, query: str) -> bool:
    return f" {query} " in f" {title} "


def _contains_words(title: str, query: str) -> bool:
    return set(query.split()) <= set(title.split())


def _normalised_titles(title: str) -> tuple[list[str], list[str]]:
    """Return the normalised titles of an item, without year and with it.

    "Seven (a.k.a. Se7en) (1995)" has the titles "seven" and "se7en", and each of them with "1995" appended.
    """
    parts = re.findall(r"\(([^()]*)\)", title)
    main = re.sub(r"\([^()]*\)", " ", title)
    years = [part for part in parts if re.fullmatch(r"\d{4}", part)]
    alternatives = [re.sub(r"^a\.?k\.?a\.? ", "", part) for part in parts if part not in years]
    without_year = [name for name in map(_normalise, (main, *alternatives)) if name]
    return without_year, [*(f"{name} {year}" for name in without_year for year in years), _normalise(title)]


def _normalise(text: str) -> str:
    """Return the words in lower case, without accents and without an article at either end."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    plain = re.sub(r"['`\u2019]", "", plain).replace("&", " and ")
    words = re.findall(r"\w+", plain)
    year = [words.pop()] if len(words) > 1 and re.fullmatch(r"(19|20)\d\d", words[-1]) else []
    while len(words) > 1 and words[0] in ARTICLES:
        words = words[1:]
    # A trailing article follows a comma: the "A" of "Vitamin A" is not an article.
    trailing = re.search(r",\s*(\w+)['\u2019]?\s*(\(\d{4}\)\s*)?$", plain)
    if len(words) > 1 and trailing and trailing[1] in ARTICLES:
        words = words[:-1]
    return " ".join(words + year)
