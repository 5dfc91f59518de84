"""Check values against the types of a pydantic model, or against those in the signature of a `_target_`."""

import inspect
import json
import math
import re
from collections.abc import Iterator, Sequence
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic_core import ErrorDetails

from recsys.config.constraints import Config
from recsys.config.other_options import HYDRA_KEYS, other_option_error
from recsys.errors import ConfigError, shortened
from recsys.runs.targets import import_target

MAX_SHOWN = 100  # characters of a value in a message
MISSING = "is missing"
NO_SUCH_KEY = "no such key; recsys-train --help lists all keys"
LIST_EXPECTED = ("list_type", "tuple_type")  # pydantic's types of errors
WRONG_LENGTH = ("too_short", "too_long")
PLAIN_ORIGINS = (Union, UnionType, list, tuple, Sequence)


def impossible_values(key: str, node: Any) -> Iterator[str]:
    """Yield an error for each value of a node that no key allows: infinity, NaN, and texts with a NUL character."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield from impossible_values(f"{key}.{name}" if key else str(name), value)
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from impossible_values(f"{key}[{index}]", value)
    elif isinstance(node, str) and "\0" in node:
        yield f"{key}={shortened(node, MAX_SHOWN)}: must not have a NUL character"
    elif isinstance(node, float) and not math.isfinite(node):
        yield f"{key}={node}: must be a finite number"


def target_errors(key: str, node: Config) -> Iterator[str]:
    """Yield an error for each value of a node that does not fit the signature of its `_target_`; also of nested nodes.

    Missing arguments are not reported.
    """
    if "_target_" not in node:
        return
    try:
        target = import_target(node["_target_"])
    except ConfigError as error:
        yield f"{key}._target_={node['_target_']}: {error}"
        return
    try:
        parameters = inspect.signature(target).parameters
    except (TypeError, ValueError):
        yield f"{key}._target_={node['_target_']}: must be a class or a function, is {type(target).__name__}"
        return
    function = target.__init__ if inspect.isclass(target) else target
    try:
        hints = get_type_hints(function, include_extras=True)
    except Exception:  # annotations of others: forward references, or texts that do not name a type
        hints = {}
    accepts_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    unknown = [] if accepts_any else [name for name in node if name not in (*HYDRA_KEYS, *parameters)]
    if message := other_option_error(key, node, unknown, parameters):
        yield message
        return
    for name, value in node.items():
        if name in HYDRA_KEYS:
            continue
        path = f"{key}.{name}"
        if name in unknown:
            shown = shortened(value, MAX_SHOWN, quoted=False)
            yield f"{path}={shown}: {node['_target_']} has no argument {name!r}; it has {', '.join(parameters)}"
        elif isinstance(value, dict) and "_target_" in value and not _is_plain(hints.get(name)):
            yield from target_errors(path, value)
        elif name in hints:
            yield from type_errors(path, hints[name], value)


def _is_plain(kind: Any) -> bool:
    """Return whether a type allows only numbers, strings, booleans, None, and lists or tuples of these."""
    if kind in (int, float, str, bool, type(None)) or get_origin(kind) is Literal:
        return True
    if get_origin(kind) is Annotated:
        return _is_plain(get_args(kind)[0])
    members = [member for member in get_args(kind) if member is not Ellipsis]
    return bool(members) and get_origin(kind) in PLAIN_ORIGINS and all(map(_is_plain, members))


def type_errors(key: str, kind: Any, value: Any) -> Iterator[str]:
    """Yield the errors of one value against one type."""
    is_model = inspect.isclass(kind) and issubclass(kind, BaseModel)
    try:
        adapter = TypeAdapter(kind, config=None if is_model else ConfigDict(arbitrary_types_allowed=True))
        # Strict JSON rules: 3 is a float and a list is a tuple, but "3" and true are not numbers.
        # A surrogate stands for a byte of a file name that is not UTF-8; pydantic refuses it.
        text = json.dumps(value, default=str, ensure_ascii=False).encode("utf-8", "replace")
        adapter.validate_json(text, strict=True)
    except PydanticUserError:  # a type that pydantic does not know
        return
    except ValidationError as error:
        yield from _messages(key, value, error, is_model)


def _messages(key: str, value: Any, error: ValidationError, is_model: bool) -> Iterator[str]:
    """Yield pydantic's errors in the project's form, one per key."""
    found: dict[str, tuple[Any, list[str]]] = {}
    # needs_python_object: a type without a form in JSON, such as a tensor
    details = [detail for detail in error.errors() if detail["type"] != "needs_python_object"]
    relevant = [detail for detail in details if is_model or not _is_of_other_branch(detail, value)]
    for detail in relevant or details:
        location = [str(part) for part in detail["loc"]] if is_model else []
        path = ".".join([*([key] if key else []), *location])
        message = re.sub("^(Input|List|Tuple|Value error,) | after validation", "", detail["msg"])
        message = message.replace("valid array", "valid list")
        own = {"extra_forbidden": NO_SUCH_KEY, "missing": MISSING if is_model else "has too few values"}
        message = own.get(detail["type"], message)
        found.setdefault(path, (detail["input"] if is_model else value, []))[1].append(message)
    for path, (given, messages) in found.items():
        reason = " or ".join(dict.fromkeys(messages))
        shown = shortened(given, MAX_SHOWN, quoted=False)
        yield f"{path}: {reason}" if reason == MISSING else f"{path}={shown}: {reason}"


def _is_of_other_branch(detail: ErrorDetails, value: Any) -> bool:
    """Return whether an error is about a list although the value is a number, or the other way around.

    For a union, such as `int | list[int]`, pydantic reports the errors of all branches. Their location begins with the
    name of the branch, and that of an element of a list continues with its index.
    """
    if not isinstance(value, list):
        return detail["type"] in LIST_EXPECTED
    location = detail["loc"]
    return len(location) == 1 and isinstance(location[0], str) and detail["type"] not in WRONG_LENGTH
