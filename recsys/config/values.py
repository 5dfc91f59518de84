"""Check values against types: those of a model of pydantic, or those in the signature of a `_target_`."""

import inspect
import json
import math
import re
from collections.abc import Iterator, Sequence
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError

from recsys.config.constraints import Config
from recsys.config.other_options import HYDRA_KEYS, other_option_error
from recsys.errors import ConfigError
from recsys.runs.targets import import_target

MAX_SHOWN = 100  # characters of a value in a message
MISSING = "is missing"
PLAIN_ORIGINS = (Union, UnionType, list, tuple, Sequence)


def non_finite(key: str, node: Any) -> Iterator[str]:
    """Yield an error for each number of a node that is infinite or NaN: no key of a configuration allows these."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield from non_finite(f"{key}.{name}" if key else str(name), value)
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from non_finite(f"{key}[{index}]", value)
    elif isinstance(node, float) and not math.isfinite(node):
        yield f"{key}={node}: must be a finite number"


def target_errors(key: str, node: Config) -> Iterator[str]:
    """Yield the errors of a node's values against the signature of its `_target_`, also of nested nodes."""
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
    except NameError:  # a forward reference of another library
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
            yield f"{path}={value}: {node['_target_']} has no argument {name!r}; it has {', '.join(parameters)}"
        elif isinstance(value, dict) and "_target_" in value and not is_plain(hints.get(name)):
            yield from target_errors(path, value)
        elif name in hints:
            yield from type_errors(path, hints[name], value)


def is_plain(kind: Any) -> bool:
    """Return whether all values of a type are numbers, texts, None, and lists of them: objects of no class."""
    if kind in (int, float, str, bool, type(None)) or get_origin(kind) is Literal:
        return True
    if get_origin(kind) is Annotated:
        return is_plain(get_args(kind)[0])
    members = [member for member in get_args(kind) if member is not Ellipsis]
    return bool(members) and get_origin(kind) in PLAIN_ORIGINS and all(map(is_plain, members))


def type_errors(key: str, kind: Any, value: Any) -> Iterator[str]:
    """Yield the errors of one value against one type."""
    is_model = inspect.isclass(kind) and issubclass(kind, BaseModel)
    try:
        adapter = TypeAdapter(kind, config=None if is_model else ConfigDict(arbitrary_types_allowed=True))
        # Strict JSON rules: 3 is a float and a list is a tuple, but "3" and true are not numbers.
        # A surrogate stands for a byte of a file name that is not UTF-8; pydantic refuses it.
        text = json.dumps(value, default=str, ensure_ascii=False).encode("utf-8", "replace")
        adapter.validate_json(text, strict=True)
    except PydanticSchemaGenerationError:
        return
    except ValidationError as error:
        yield from _messages(key, value, error, is_model)


def _messages(key: str, value: Any, error: ValidationError, is_model: bool) -> Iterator[str]:
    """Yield pydantic's errors in the project's form, one per key."""
    found: dict[str, tuple[Any, list[str]]] = {}
    for detail in error.errors():
        if detail["type"] == "needs_python_object":  # a tensor or the like, which cannot be typed
            continue
        # A union reports each of its branches: skip what is wrong with a number if it was meant as a list.
        expects_list = detail["type"] in ("list_type", "tuple_type")
        too_short = detail["type"] == "too_short"  # the list itself
        is_branch = isinstance(value, list) and len(detail["loc"]) == 1 and not (is_model or too_short)
        if (expects_list or is_branch) and len(error.errors()) > 1 and detail["type"] != "missing":
            continue
        location = [str(part) for part in detail["loc"]] if is_model else []
        path = ".".join([*([key] if key else []), *location])
        message = re.sub("^(Input|List|Tuple|Value error,) | after validation", "", detail["msg"])
        own = {"extra_forbidden": "no such key", "missing": MISSING}
        message = own.get(detail["type"], message)
        found.setdefault(path, (detail["input"] if is_model else value, []))[1].append(message)
    for path, (given, messages) in found.items():
        reason = " or ".join(dict.fromkeys(messages))
        yield f"{path}: {reason}" if reason == MISSING else f"{path}={_shortened(given)}: {reason}"


def _shortened(value: Any) -> str:
    """Return a value as text, without the rest of a long one."""
    text = str(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
