"""Quote the values of command-line arguments for Hydra's grammar, which users do not know."""

import re

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from recsys.runs.folder import as_utf8, hydra_quoted


def quote_for_hydra(override: str) -> str:
    """Quote a value that Hydra cannot parse, such as the folder `Jürgen's runs (1)`.

    Lists, dicts, functions such as choice(), interpolations and quoted values are left to Hydra. Commas separate
    the values of a sweep, except those of `item=`, `user=`, `where=` and `data.separator=`. These and the names in
    `genres=[...]` are quoted in any case: without quotes, the user ids 1_0 and 1e1 would become 10.

    >>> quote_for_hydra("output_dir=ünï"), quote_for_hydra("data.path=a.csv,ö.csv")
    ("output_dir='ünï'", "data.path=a.csv,'ö.csv'")
    >>> quote_for_hydra("item=Postino, Il (1994)"), quote_for_hydra("genres=[Sci-Fi,Children's]")
    ("item='Postino, Il (1994)'", "genres=['Sci-Fi','Children\\\\'s']")
    """
    key, _, value = override.partition("=")
    if key == "where" and value not in ("", "null"):
        return f"{key}={hydra_quoted(as_utf8(value))}"
    if not value or value[0] in "'\"" or value == "null" or override.startswith("-"):
        return override
    if key == "data.separator":
        return f"{key}={hydra_quoted(value)}"
    if key in ("item", "user"):
        return f"{key}={hydra_quoted(as_utf8(value.strip()))}"
    if key == "genres" and value[0] == "[" and value[-1] == "]" and '"' not in value and "['" not in value:
        return f"genres=[{','.join(hydra_quoted(name.strip()) for name in value[1:-1].split(',') if name)}]"
    if re.fullmatch(r"[\w/.,+-]*", value, re.ASCII) or _can_parse(override):
        return override
    if (
        value[0] in "[{"
        or "${" in value
        or re.search(r",\s*['\"]", value)
        or re.fullmatch(r"\w+\(.*\)", value)
    ):
        return override
    values = [_quoted(part.strip(" \t")) for part in re.split(r"(?<!\\),", value)]
    quoted = f"{key}={','.join(values)}"
    return quoted if _can_parse(quoted) else override  # Hydra's error message then shows what the user typed


def _quoted(value: str) -> str:
    if _can_parse(f"key={value}"):
        return value
    return hydra_quoted(
        re.sub(r"\\([\\()\[\]{}:=,\s])", r"\1", value)
    )  # the characters that can be escaped in Hydra's grammar


def _can_parse(override: str) -> bool:
    try:
        OverridesParser.create().parse_override(override)
    except HydraException:
        return False
    return True
