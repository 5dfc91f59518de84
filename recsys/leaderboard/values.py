"""The values of a varied key: their order, and their positions on an axis."""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Self

MAX_NUMBER = 1e100
MIN_GAP = 1 / 12  # of the length of an axis: numbers that are closer cannot each have a label
LOG_RATIO = 4.0  # largest value divided by the smallest one, from which on an axis is logarithmic


def parse_number(value: str) -> float | None:
    """Return the number that a value is, or None; NaN and huge numbers, whose sums may be infinite, are None."""
    try:
        number = float(value)
    except ValueError:
        return None
    return number if abs(number) <= MAX_NUMBER else None


def parse_numbers(value: str) -> list[float] | None:
    """Return the numbers of a value such as "[128,64]", or None if it is not a list of finite numbers."""
    if not (value.startswith("[") and value.endswith("]")):
        return None
    numbers = [parse_number(part) for part in value[1:-1].split(",") if part.strip()]
    known = [number for number in numbers if number is not None]
    return known if len(known) == len(numbers) else None


def sort_key(value: str) -> tuple[int, float, int, str]:
    """Return a key that sorts numbers by value, lists of numbers by sum and length, and other values as text.

    Numbers come first, then lists, then other values; a missing value ("") is the last.
    """
    if (number := parse_number(value)) is not None:
        return 0, number, 0, value
    if (numbers := parse_numbers(value)) is not None:
        return 1, sum(numbers), len(numbers), value
    return 2 if value else 3, 0.0, 0, value


def prefers_log(numbers: Collection[float]) -> bool:
    """Return whether numbers are better shown on a logarithmic axis."""
    return min(numbers) > 0 and max(numbers) / min(numbers) >= LOG_RATIO


def scaled(numbers: Sequence[float], is_log: bool = False) -> list[float]:
    """Return numbers, or their logarithms, scaled so that the smallest is 0 and the largest 1; 0 if all are equal."""
    values = [math.log(number) if is_log else number for number in numbers]
    low, high = min(values), max(values)
    return [(value - low) / ((high - low) or 1.0) for value in values]


@dataclass(frozen=True)
class Axis:
    """Positions of values on an axis.

    Attributes:
        positions: {value: position}, in the order of `sort_key`.
        kind: "numbers" are their own positions; "lists" of numbers are ordered by size; "categories" have no order.
    """

    positions: dict[str, float]
    kind: Literal["numbers", "lists", "categories"]

    @classmethod
    def of(cls, values: Iterable[str]) -> Self:
        """Return the axis for values, of which there must be at least one."""
        ordered = sorted(set(values), key=sort_key)
        groups = {sort_key(value)[0] for value in ordered}
        if groups == {0}:
            return cls({value: float(value) for value in ordered}, "numbers")
        positions = {value: float(index) for index, value in enumerate(ordered)}
        return cls(positions, "lists" if groups == {1} else "categories")

    @property
    def is_log(self) -> bool:
        """Whether the axis is logarithmic."""
        return self.kind == "numbers" and prefers_log(self.positions.values())

    @property
    def is_continuous(self) -> bool:
        """Whether these are numbers too close to each other to label each."""
        heights = scaled(list(self.positions.values()), self.is_log)
        return self.kind == "numbers" and any(b - a < MIN_GAP for a, b in pairwise(heights))

    def heights(self) -> dict[str, float]:
        """Return heights from 0 to 1: to scale if the axis is continuous, evenly spaced otherwise."""
        positions = list(self.positions.values()) if self.is_continuous else range(len(self.positions))
        is_log = self.is_continuous and self.is_log
        return dict(zip(self.positions, scaled(positions, is_log), strict=True))
