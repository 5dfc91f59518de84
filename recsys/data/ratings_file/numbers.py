"""Numbers in text files, in the notation of the columnar reader.

Python's own float() and int() accept more: 1_000, digits of other scripts and unusual spaces.
"""

import re

from recsys.errors import shortened

SPACES = " \t\r\n\f\v"  # allowed around a number
MIN_INTEGER, MAX_INTEGER = -(2**63), 2**63 - 1
MAX_DIGITS = 19  # of MAX_INTEGER; int() refuses more than 4300


def parse_number(text: str) -> float:
    """Return a number.

    Raises:
        ValueError: the text is not a number.
    """
    try:
        _check_notation(text.strip(SPACES))
        return float(text)
    except ValueError:
        raise ValueError(f"{shortened(text)} is not a number") from None


def parse_integer(text: str) -> int:
    """Return a whole number.

    Raises:
        ValueError: the text is not a whole number, or does not fit into 64 bits.
    """
    text = text.strip(SPACES)
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        raise ValueError(f"{shortened(text)} is not a whole number")
    if len(text.lstrip("+-0")) > MAX_DIGITS or not MIN_INTEGER <= (value := int(text)) <= MAX_INTEGER:
        raise ValueError(f"{shortened(text)} does not fit into 64 bits")
    return value


def _check_notation(text: str) -> None:
    if "_" in text or not (text.isascii() and text.isprintable()):
        raise ValueError
