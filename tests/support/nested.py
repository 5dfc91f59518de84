"""Places in nested dictionaries and lists, for tests that change any value."""

from collections.abc import Iterator
from typing import Any


def nodes(content: Any, path: tuple = ()) -> Iterator[tuple]:
    """Yield the path of every value in nested dictionaries and lists."""
    if path:
        yield path
    items = (
        content.items()
        if isinstance(content, dict)
        else enumerate(content)
        if isinstance(content, list)
        else ()
    )
    for key, value in items:
        yield from nodes(value, (*path, key))


def container_of(content: Any, path: tuple) -> Any:
    """Return the dictionary or list that has the value at a path."""
    for key in path[:-1]:
        content = content[key]
    return content
