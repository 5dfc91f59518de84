"""Is this configuration one that can run? Every error is found at once, before anything is downloaded.

Ranges and types stand where the values are used: in the signature of whatever a `_target_` names. So a new
model, split or schedule is checked without a line here. What no signature can say (top-level keys, hardware,
pairs of values that exclude each other) stands below.
"""

import inspect
import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Literal, get_type_hints

from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError

from recsys.data.splits import official_folds
from recsys.errors import ConfigError
from recsys.limits import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from recsys.processes import started_by

Group = dict[str, Any]


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
    gradient_clip: NonNegativeFloat
    output_dir: str | int | None
    sweep: Sweep
    data: Group
    split: Group
    model: Group
    optimizer: Optimizer
    schedule: Group
    hardware: Hardware
    logger: Group


def validate(cfg: DictConfig) -> None:
    """Check a composed training configuration.

    Raises:
        ConfigError: one line per error, each with the key, its value and what would do.
    """
    plain = _resolve(cfg)
    errors = list(_type_errors("", TrainConfig, plain))
    for group in ("data", "split", "model", "optimizer", "schedule", "logger"):
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


def _hardware_is_there(cfg: Group) -> Iterator[str]:
    import torch

    accelerator, devices = cfg["hardware"]["accelerator"], cfg["hardware"]["devices"]
    on_gpu = accelerator == "gpu" or (accelerator == "auto" and torch.cuda.is_available())
    if accelerator == "gpu" and not torch.cuda.is_available():
        yield "hardware.accelerator=gpu: torch sees no GPU here; hardware=auto takes what there is"
    elif on_gpu and devices > (there := torch.cuda.device_count()):
        yield f"hardware.devices={devices}: torch sees {there} GPUs here; hardware.accelerator=cpu needs none"
    if accelerator == "mps" and not torch.backends.mps.is_available():
        yield "hardware.accelerator=mps: torch sees no Apple GPU here; hardware=auto takes what there is"
    if cfg["hardware"]["precision"] == "16-mixed" and not on_gpu:
        yield "hardware.precision=16-mixed: only a GPU has it; bf16-mixed runs everywhere"
    if devices > 1 and cfg["hardware"]["strategy"] == "auto":
        yield f"hardware.devices={devices}: several devices need hardware.strategy=ddp (hardware=ddp)"


def _optimizer_can_be_built(cfg: Group) -> Iterator[str]:
    import torch

    build = instantiate(cfg["optimizer"], _partial_=True, _convert_="all")
    try:
        build([torch.nn.Parameter(torch.zeros(1))])
    except (ValueError, TypeError, RuntimeError) as problem:
        yield f"optimizer: {str(problem).splitlines()[0]}"


def _processes_are_there(cfg: Group) -> Iterator[str]:
    hardware, started = cfg["hardware"], started_by()
    nodes, needed = hardware["num_nodes"], hardware["num_nodes"] * hardware["devices"]
    if nodes > 1 and hardware["strategy"] == "auto":
        yield f"hardware.num_nodes={nodes}: several machines need hardware.strategy=ddp (hardware=ddp)"
    elif nodes > 1 and started is None:
        yield (
            f"hardware.num_nodes={nodes}: nobody starts the processes of the other machines; start this "
            f"command on each of them with torchrun --nnodes={nodes} --nproc-per-node={hardware['devices']} "
            "(--no-python), or with srun"
        )
    elif started is not None and started[1] != needed and (started[1] > 1 or nodes > 1):
        yield (
            f"hardware.num_nodes={nodes} and hardware.devices={hardware['devices']}: {needed} processes, "
            f"but {started[0]} started {started[1]}"
        )


def _split_can_be_made(cfg: Group) -> Iterator[str]:
    split, data = cfg["split"], cfg["data"].get("name")
    val, test = split.get("val"), split.get("test")
    if val is not None and test is not None and val + test >= 1:
        yield f"split.val={val} and split.test={test} leave nothing to train on"
    if "k" in split and split["fold"] >= split["k"]:
        yield f"split.fold={split['fold']}: folds are 0 to {split['k'] - 1} (split.k={split['k']})"
    if split["_target_"].endswith(".official"):
        known = official_folds(data)
        if not known:
            yield f"split=official with data={data}: only data=ml-100k and data=ml-10m have official folds"
        elif split["fold"] not in known:
            yield f"split.fold={split['fold']}: the folds of {data} are {', '.join(known)}"


def _scale_rises(cfg: Group) -> Iterator[str]:
    scale = cfg["data"].get("scale")
    if scale and not scale[0] < scale[1]:
        yield f"data.scale={scale}: the lowest rating comes first, the highest second"


def _synthetic_pairs_suffice(cfg: Group) -> Iterator[str]:
    data = cfg["data"]
    if "noise" in data and data["ratings"] > (cells := data["users"] * data["movies"]):
        yield f"data.ratings={data['ratings']}: data.users x data.movies is only {cells} pairs"


Rule = Callable[[Group], Iterator[str]]
DATA_PAIRS: tuple[Rule, ...] = (_scale_rises, _synthetic_pairs_suffice)
PAIRS: tuple[Rule, ...] = (
    _hardware_is_there,
    _processes_are_there,
    _optimizer_can_be_built,
    _split_can_be_made,
    *DATA_PAIRS,
)
