"""A row of the table of benchmarks/gpu.py."""

from typing import NamedTuple


class Row(NamedTuple):
    """One figure.

    Attributes:
        name: what was measured.
        value: the figure.
        note: what belongs to it, such as the unit or what it is compared with.
        limit: the largest value that counts as right; None: nothing is right or wrong.
    """

    name: str
    value: float
    note: str = ""
    limit: float | None = None

    @property
    def is_wrong(self) -> bool:
        """Whether the value exceeds its limit, or is not a number."""
        return self.limit is not None and not self.value <= self.limit

    def __str__(self) -> str:
        value = f"{self.value:,.0f}" if abs(self.value) >= 1000 else f"{self.value:.4g}"
        limit = (
            "" if self.limit is None else f"  (at most {self.limit:g}: {'WRONG' if self.is_wrong else 'ok'})"
        )
        return f"{self.name:<78}{value:>14}  {self.note}{limit}"
