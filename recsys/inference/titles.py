"""Items by typed titles: no year, comma, quotes, parentheses, accents or capitals needed."""

import difflib
import re
import unicodedata
from collections.abc import Sequence

from recsys.errors import UnknownIdError

ARTICLES = frozenset("the a an le la les l il lo un une der die das ein eine el los las".split())  # noqa: SIM905


class Titles:
    """Looks titles up.

    >>> titles = Titles(["Empire Strikes Back, The (1980)", "Heat (1995)", "Dead Heat (1988)"])
    >>> titles.find("empire strikes back"), titles.find("heat")
    (0, 1)

    Args:
        titles: one per item row, such as "Postino, Il (1994)".
        ids: raw ids of the rows, for messages; None: the rows themselves.
    """

    def __init__(self, titles: Sequence[str], ids: Sequence[object] | None = None) -> None:
        self.titles = list(titles)
        self.ids = list(ids) if ids is not None else list(range(len(self.titles)))
        self._plain: dict[str, list[int]] = {}
        self._dated: dict[str, list[int]] = {}
        for row, title in enumerate(self.titles):
            plain, dated = _names(title)
            for name in dict.fromkeys(plain):
                self._plain.setdefault(name, []).append(row)
            for name in dict.fromkeys(dated):
                self._dated.setdefault(name, []).append(row)

    def find(self, typed: str) -> int:
        """The row of the item that was meant.

        A item called exactly so comes first, then items whose title holds the words in this order, then those
        that hold them in any; each first without regard to the year, then with it. A stage that finds one
        item answers, and one that finds several is ambiguous.

        Raises:
            UnknownIdError: there is none, or there are several; offers the nearest, with their ids.
        """
        name = _name(typed)
        if not name:
            raise UnknownIdError(f"item={typed!r}: holds no letter or number to look for")
        for holds in (_is, _holds_in_order, _holds):
            for names in (self._plain, self._dated):
                rows = sorted({row for known, some in names.items() if holds(known, name) for row in some})
                if len(rows) == 1:
                    return rows[0]
                if rows:
                    told = f"item={typed!r} may be {self._offer(rows)}"
                    raise UnknownIdError(f"{told}: give the id, or more words")
        near = difflib.get_close_matches(name, self._plain, n=5, cutoff=0.6)
        rows = list(dict.fromkeys(row for one in near for row in self._plain[one]))
        hint = f"; the nearest: {self._offer(rows)}" if rows else ""
        raise UnknownIdError(f"item={typed!r}: no item is called so{hint}")

    def _offer(self, rows: list[int], most: int = 8) -> str:
        told = "; ".join(f"{self.titles[row]} [{self.ids[row]}]" for row in rows[:most])
        return told + (f"; and {len(rows) - most} more" if len(rows) > most else "")


def _is(name: str, asked: str) -> bool:
    return name == asked


def _holds_in_order(name: str, asked: str) -> bool:
    return f" {asked} " in f" {name} "


def _holds(name: str, asked: str) -> bool:
    return set(asked.split()) <= set(name.split())


def _names(title: str) -> tuple[list[str], list[str]]:
    """What a item may be called, without its year and with it.

    "Seven (a.k.a. Se7en) (1995)" is "seven" and "se7en", and either with "1995" behind.
    """
    parts = re.findall(r"\(([^()]*)\)", title)
    bare = re.sub(r"\([^()]*\)", " ", title)
    years = [part for part in parts if re.fullmatch(r"\d{4}", part)]
    others = [re.sub(r"^a\.?k\.?a\.? ", "", part) for part in parts if part not in years]
    plain = [name for name in map(_name, (bare, *others)) if name]
    return plain, [*(f"{name} {year}" for name in plain for year in years), _name(title)]


def _name(text: str) -> str:
    """Words alone: lower case, no accents, no article at either end ("..., The", "The ...")."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    plain = re.sub(r"['`\u2019]", "", plain).replace("&", " and ")
    words = re.findall(r"\w+", plain)
    year = [words.pop()] if len(words) > 1 and re.fullmatch(r"(19|20)\d\d", words[-1]) else []
    while len(words) > 1 and words[0] in ARTICLES:
        words = words[1:]
    # "A" and its kind stand behind a comma only: "Vitamin A" is no article.
    trailing = re.search(r",\s*(\w+)['\u2019]?\s*(\(\d{4}\)\s*)?$", plain)
    if len(words) > 1 and trailing and trailing[1] in ARTICLES:
        words = words[:-1]
    return " ".join(words + year)
