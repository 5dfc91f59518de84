"""Films by typed titles: no year, comma, quotes, parentheses, accents or capitals needed."""

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
        titles: one per movie row, such as "Postino, Il (1994)".
        ids: raw ids of the rows, for messages; None: the rows themselves.
    """

    def __init__(self, titles: Sequence[str], ids: Sequence[object] | None = None) -> None:
        self.titles = list(titles)
        self.ids = list(ids) if ids is not None else list(range(len(self.titles)))
        self._by_name: dict[str, list[int]] = {}
        for row, title in enumerate(self.titles):
            for name in dict.fromkeys(_names(title)):
                self._by_name.setdefault(name, []).append(row)

    def find(self, typed: str) -> int:
        """The row of the film that was meant.

        A film called exactly so comes first, then films whose title holds the words in this order, then those
        that hold them in any; a stage with one film answers, and a stage with several is ambiguous.

        Raises:
            UnknownIdError: there is none, or there are several; offers the nearest, with their ids.
        """
        name = _name(typed)
        if not name:
            raise UnknownIdError(f"movie={typed!r}: holds no letter or number to look for")
        for stage in (self._exact, self._in_order, self._in_any_order):
            rows = stage(name)
            if len(rows) == 1:
                return rows[0]
            if rows:
                raise UnknownIdError(
                    f"movie={typed!r} may be {self._offer(rows)}: give the id, or more words"
                )
        near = difflib.get_close_matches(name, self._by_name, n=5, cutoff=0.6)
        rows = list(dict.fromkeys(row for one in near for row in self._by_name[one]))
        hint = f"; the nearest: {self._offer(rows)}" if rows else ""
        raise UnknownIdError(f"movie={typed!r}: no film is called so{hint}")

    def _exact(self, name: str) -> list[int]:
        return self._by_name.get(name, [])

    def _in_order(self, name: str) -> list[int]:
        return self._rows(f" {name} " in f" {known} " for known in self._by_name)

    def _in_any_order(self, name: str) -> list[int]:
        words = set(name.split())
        return self._rows(words <= set(known.split()) for known in self._by_name)

    def _rows(self, chosen) -> list[int]:  # type: ignore[no-untyped-def]
        found = {
            row for name, yes in zip(self._by_name, chosen, strict=True) if yes for row in self._by_name[name]
        }
        return sorted(found)

    def _offer(self, rows: list[int], most: int = 8) -> str:
        told = "; ".join(f"{self.titles[row]} [{self.ids[row]}]" for row in rows[:most])
        return told + (f"; and {len(rows) - most} more" if len(rows) > most else "")


def _names(title: str) -> list[str]:
    """What a film may be called: as it stands, without its year, without or only by its parentheses."""
    parts = re.findall(r"\(([^()]*)\)", title)
    bare = re.sub(r"\([^()]*\)", " ", title)
    years = [part for part in parts if re.fullmatch(r"\d{4}", part)]
    others = [re.sub(r"^a\.?k\.?a\.? ", "", part) for part in parts if part not in years]
    names = [_name(name) for name in (bare, *others)]
    dated = [f"{name} {year}" for name in names for year in years]
    return [name for name in (*names, *dated, _name(title)) if name]


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
