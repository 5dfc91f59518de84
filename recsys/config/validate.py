"""Validate a configuration: all errors at once, before anything is downloaded.

Types and ranges are those in the signature of the class or function that a `_target_` names, so a new model, loss
or split is checked without a change here. Only the top-level keys of conf/train.yaml and what signatures of other
libraries leave open have their types below. Constraints across several values are in `recsys.config.constraints`.
"""

import inspect
import json
import math
import re
from collections.abc import Iterator
from typing import Any, Literal, get_type_hints

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError

import recsys.config.resolvers  # noqa: F401 (registers the resolvers of conf/)
from recsys.config.constraints import Config, constraint_errors, data_errors
from recsys.config.other_options import HYDRA_KEYS, other_option_error
from recsys.config.trainer import OTHER_KEYS, Trainer, other_key_errors
from recsys.errors import ConfigError, first_line
from recsys.runs.targets import import_target
from recsys.training.auto_loss import choose_loss
from recsys.types import (
    Accelerator,
    Epochs,
    Mode,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)


class Optimizer(BaseModel):
    """What torch's own signatures leave open."""

    lr: PositiveFloat
    weight_decay: NonNegativeFloat = 0.0


class Hardware(BaseModel):
    """How training runs; all but the last three are arguments of Lightning's Trainer."""

    model_config = ConfigDict(extra="forbid")
    accelerator: Accelerator
    devices: PositiveInt
    num_nodes: PositiveInt
    strategy: Literal["auto", "ddp"]
    precision: Literal["32-true", "bf16-mixed", "16-mixed"]
    tf32: bool
    cuda_graph: bool
    compile: bool


class Penalty(BaseModel):
    """L2 penalty; see `recsys.training.regularization`."""

    model_config = ConfigDict(extra="forbid")
    vectors: NonNegativeFloat
    biases: NonNegativeFloat


class Ranking(BaseModel):
    """How rankings are measured; see `recsys.evaluation.ranking_metrics`."""

    model_config = ConfigDict(extra="forbid")
    k: NonNegativeInt
    threshold: float | None


class Sweep(BaseModel):
    """Options of a sweep as a whole."""

    model_config = ConfigDict(extra="forbid")
    resume: str | None
    average: bool


class Target(BaseModel):
    """A node that names a class; its arguments are checked against the class."""

    model_config = ConfigDict(extra="allow")
    target: str = Field(alias="_target_")


class TrainConfig(BaseModel):
    """The top-level keys of conf/train.yaml."""

    model_config = ConfigDict(extra="forbid")
    seed: NonNegativeInt
    batch_size: PositiveInt
    max_epochs: Epochs
    patience: PositiveInt
    snapshots: PositiveInt
    refit: bool
    l2: Penalty
    gradient_clip: NonNegativeFloat
    output_dir: str | int | None
    run: str | int | None
    resume: bool
    trust: bool
    ranking: Ranking
    metrics: dict[str, Target]
    objective: str | None
    objective_mode: Mode | None
    sweep: Sweep
    data: Config
    split: Config
    model: Config
    loss: Config
    optimizer: Optimizer
    schedule: Config
    hardware: Hardware
    trainer: Config
    callbacks: dict[str, Target]
    averaging: Config
    logger: dict[str, Config] = {}  # by name; logger=[] removes the key


MAX_SHOWN = 100  # characters of a value in a message
MISSING = "is missing"
BUILT = ("data", "split", "model", "loss", "optimizer", "schedule")  # their objects are always built
GROUPS = ("data", "split", "model", "loss", "optimizer", "schedule", "averaging")
NAMED = ("callbacks", "metrics")  # nodes of any name, each with a class


def validate(cfg: DictConfig, on_this_machine: bool = True) -> None:
    """Validate a composed training configuration.

    Args:
        cfg: the configuration.
        on_this_machine: whether training starts in this process; see `recsys.config.hardware.hardware_errors`.

    Raises:
        ConfigError: one line per error, each with the key, its value and what is allowed.
    """
    cfg = choose_loss(cfg)
    config = _resolve(cfg)
    # Not resolved: an interpolated value has another key.
    _raise(list(non_finite("", OmegaConf.to_container(cfg))))
    errors = list(_type_errors("", TrainConfig, config))
    for group in GROUPS:
        if isinstance(config.get(group), dict):
            if group in BUILT and "_target_" not in config[group]:
                errors.append(f"{group}._target_: is missing; choose an option with {group}=")
            errors += target_errors(group, config[group])
    for group in NAMED:
        if isinstance(config.get(group), dict):
            for name, node in config[group].items():
                errors += target_errors(f"{group}.{name}", node) if isinstance(node, dict) else ()
    errors += _trainer_errors(config.get("trainer"))
    errors += _logger_errors(config.get("logger", {}))
    _raise(
        errors or list(constraint_errors(config, on_this_machine))
    )  # constraints assume valid single values


def _trainer_errors(trainer: Any) -> Iterator[str]:
    if isinstance(trainer, dict):
        yield from other_key_errors(trainer)
        yield from _type_errors(
            "trainer", Trainer, {name: value for name, value in trainer.items() if name not in OTHER_KEYS}
        )


def _logger_errors(nodes: Any) -> Iterator[str]:
    """Yield the errors of the trackers: of their form, of the values, and of missing packages."""
    from recsys.training.trackers.nodes import node_errors, tracker_class

    if errors := list(node_errors(nodes)):
        yield from errors
        return
    for name, node in nodes.items():
        key = f"logger.{name}"
        errors = list(target_errors(key, node))
        yield from errors or tracker_class(node).errors(key, node)


def validate_data(cfg: DictConfig) -> None:
    """Validate cfg.data alone, for commands that have no other groups.

    Raises:
        ConfigError: as `validate`.
    """
    data = _resolve(cfg)["data"]
    _raise(list(non_finite("data", data)))
    _raise(list(target_errors("data", data)) or list(data_errors(data)))


def validate_ranking(k: int | None, threshold: float | None) -> None:
    """Validate the ranking keys of a command that has no others; None means the run's own value.

    Raises:
        ConfigError: as `validate`.
    """
    given = {"k": 0 if k is None else k, "threshold": threshold}
    _raise(list(non_finite("ranking", given)))
    _raise(list(_type_errors("ranking", Ranking, given)))


def _resolve(cfg: DictConfig) -> Config:
    """Return the configuration as plain values, none of them missing."""
    if missing := sorted(OmegaConf.missing_keys(cfg)):
        raise ConfigError("\n".join(f"{key}: needs a value ({key}=...)" for key in missing))
    try:
        return OmegaConf.to_container(cfg, resolve=True)  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        raise ConfigError(first_line(error)) from None


def _raise(errors: list[str]) -> None:
    if errors:
        raise ConfigError("\n".join(dict.fromkeys(errors)))


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
        elif isinstance(value, dict) and "_target_" in value:
            yield from target_errors(path, value)
        elif name in hints:
            yield from _type_errors(path, hints[name], value)


def _type_errors(key: str, kind: Any, value: Any) -> Iterator[str]:
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
