"""Is this configuration one that can run? Every error is found at once, before anything is downloaded.

Ranges and types stand where the values are used: in the signature of whatever a `_target_` names. So a new
model, split or schedule is checked without a line here. What no signature can say stands below (top-level
keys) or in `recsys.config.constraints` (values that exclude each other).
"""

import inspect
import json
import re
from collections.abc import Iterator
from typing import Any, Literal, get_type_hints

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError

from recsys.config.constraints import DATA_PAIRS, PAIRS, Group
from recsys.errors import ConfigError
from recsys.types import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt


class Optimizer(BaseModel):
    """What torch's own signatures leave open."""

    lr: PositiveFloat
    weight_decay: NonNegativeFloat = 0.0


class Hardware(BaseModel):
    """How training runs; all but `compile` are arguments of Lightning's Trainer."""

    model_config = ConfigDict(extra="forbid")
    accelerator: Literal["auto", "cpu", "gpu", "mps"]
    devices: PositiveInt
    num_nodes: PositiveInt
    strategy: Literal["auto", "ddp"]
    precision: Literal["32-true", "bf16-mixed", "16-mixed"]
    compile: bool


class Penalty(BaseModel):
    """L2 per occurrence; see `recsys.training.regularization`."""

    model_config = ConfigDict(extra="forbid")
    vectors: NonNegativeFloat
    biases: NonNegativeFloat


class Ranking(BaseModel):
    """How lists are measured; see `recsys.evaluation.ranking_metrics`."""

    model_config = ConfigDict(extra="forbid")
    k: NonNegativeInt
    threshold: float | None


class Sweep(BaseModel):
    """What concerns a sweep as a whole."""

    model_config = ConfigDict(extra="forbid")
    resume: str | None


class TrainConfig(BaseModel):
    """The top-level keys of conf/train.yaml."""

    model_config = ConfigDict(extra="forbid")
    seed: NonNegativeInt
    batch_size: PositiveInt
    max_epochs: PositiveInt
    patience: PositiveInt
    snapshots: PositiveInt
    l2: Penalty
    gradient_clip: NonNegativeFloat
    output_dir: str | int | None
    run: str | int | None
    resume: bool
    ranking: Ranking
    sweep: Sweep
    data: Group
    split: Group
    model: Group
    loss: Group
    optimizer: Optimizer
    schedule: Group
    hardware: Hardware
    averaging: Group
    logger: Group


def validate(cfg: DictConfig) -> None:
    """Check a composed training configuration.

    Raises:
        ConfigError: one line per error, each with the key, its value and what would do.
    """
    plain = _resolve(cfg)
    errors = list(_type_errors("", TrainConfig, plain))
    for group in ("data", "split", "model", "loss", "optimizer", "schedule", "averaging", "logger"):
        if isinstance(plain.get(group), dict):
            errors += target_errors(group, plain[group])
    if not errors:  # pairs are compared only where each value is sound by itself
        errors = [error for rule in PAIRS for error in rule(plain)]
    _raise(errors)


def validate_data(cfg: DictConfig) -> None:
    """Check cfg.data alone, for commands that have no more.

    Raises:
        ConfigError: as `validate`.
    """
    data = _resolve(cfg)["data"]
    errors = list(target_errors("data", data))
    _raise(errors or [error for rule in DATA_PAIRS for error in rule({"data": data})])


def validate_ranking(k: int | None, threshold: float | None) -> None:
    """Check the ranking keys of a command that has no more; None stands for a run's own.

    Raises:
        ConfigError: as `validate`.
    """
    given = {"k": 0 if k is None else k, "threshold": threshold}
    _raise(list(_type_errors("ranking", Ranking, given)))


def _resolve(cfg: DictConfig) -> Group:
    """The configuration as plain values, none of them missing."""
    if missing := sorted(OmegaConf.missing_keys(cfg)):
        raise ConfigError("\n".join(f"{key}: needs a value ({key}=...)" for key in missing))
    try:
        return OmegaConf.to_container(cfg, resolve=True)  # type: ignore[return-value]
    except OmegaConfBaseException as problem:
        raise ConfigError(str(problem).splitlines()[0]) from None


def _raise(errors: list[str]) -> None:
    if errors:
        raise ConfigError("\n".join(dict.fromkeys(errors)))


def target_errors(key: str, node: Group) -> Iterator[str]:
    """Errors of a node's values against the signature of its `_target_`, and of nodes inside it."""
    if "_target_" not in node:
        return
    try:
        target = get_object(node["_target_"])
    except Exception as problem:
        yield f"{key}._target_={node['_target_']}: cannot be imported ({str(problem).splitlines()[0]})"
        return
    parameters = inspect.signature(target).parameters
    function = target.__init__ if inspect.isclass(target) else target
    try:
        hints = get_type_hints(function, include_extras=True)
    except NameError:  # a library's own forward reference
        hints = {}
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    for name, value in node.items():
        if name in ("_target_", "_partial_", "_convert_", "_recursive_"):
            continue
        path = f"{key}.{name}"
        if name not in parameters and not takes_any:
            yield f"{path}={value}: {node['_target_']} takes no {name!r}; it takes {', '.join(parameters)}"
        elif isinstance(value, dict) and "_target_" in value:
            yield from target_errors(path, value)
        elif name in hints:
            yield from _type_errors(path, hints[name], value)


def _type_errors(key: str, kind: Any, value: Any) -> Iterator[str]:
    """Errors of one value against one type, in words."""
    is_model = inspect.isclass(kind) and issubclass(kind, BaseModel)
    try:
        adapter = TypeAdapter(kind, config=None if is_model else ConfigDict(arbitrary_types_allowed=True))
        # Strict JSON rules: 3 is a float and a list a tuple, but "3" and true are no numbers.
        adapter.validate_json(json.dumps(value, default=str), strict=True)
    except PydanticSchemaGenerationError:
        return
    except ValidationError as problem:
        found: dict[str, tuple[Any, list[str]]] = {}
        for error in problem.errors():
            if error["type"] == "needs_python_object":  # a tensor or the like: nobody can type one
                continue
            # A union reports each of its branches: what a list should have been is no news to a number.
            says_list = error["type"] in ("list_type", "tuple_type")
            says_short = error["type"] == "too_short"  # of the list itself
            is_branch = isinstance(value, list) and len(error["loc"]) == 1 and not (is_model or says_short)
            if (says_list or is_branch) and len(problem.errors()) > 1 and error["type"] != "missing":
                continue
            where = [str(part) for part in error["loc"] if is_model] if is_model else []
            path = ".".join([*([key] if key else []), *where])
            message = re.sub("^(Input|List|Tuple) | after validation", "", error["msg"])
            told = "no such key" if error["type"] == "extra_forbidden" else message
            found.setdefault(path, (error["input"] if is_model else value, []))[1].append(told)
        for path, (given, messages) in found.items():
            yield f"{path}={given}: {' or '.join(dict.fromkeys(messages))}"
