"""Walk through nested values of an untrusted file."""

from collections.abc import Iterator
from typing import Any


def walk(value: Any, limit: int) -> Iterator[tuple[Any, Any]]:
    """Yield the value, every key of a dict with its value, and every element of a list without a key, in any order.

    Args:
        value: nested dicts and lists, as deep as they are.
        limit: the maximum number of values: a small file can describe many, by references to the same list.

    Raises:
        ValueError: there are more values.
    """
    waiting: list[tuple[Any, Any]] = [(None, value)]  # not recursive: the nesting may be deep
    count = 0
    while waiting:
        key, node = waiting.pop()
        yield key, node
        if isinstance(node, dict):
            waiting += node.items()
        elif isinstance(node, list | tuple):
            waiting += ((None, element) for element in node)
        if (count := count + 1) + len(waiting) > limit:
            raise ValueError(f"more than {limit:,} values")
