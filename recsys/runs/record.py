"""The record of a run's configuration: .hydra/config.yaml, overrides.yaml and hydra.yaml."""

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, ListConfig, OmegaConf

from recsys.atomic import atomic_write
from recsys.errors import ConfigError, RunError
from recsys.paths import expanded
from recsys.runs.folder import HYDRA
from recsys.runs.targets import import_target

# Keys that concern one start of the command and not the run: they are neither recorded nor compared.
START_KEYS = ("run", "resume", "trust", "output_dir", "sweep.resume", "sweep.average")
# Limits of the files, far above what a run writes: parsing YAML takes long.
MAX_SIZE, MAX_DEPTH, MAX_VALUES = 300_000, 30, 10_000
START_NODES = {
    "run": None,
    "resume": False,
    "trust": False,
    "output_dir": None,
    "sweep": {"resume": None, "average": False},
}


def resolve_config(cfg: DictConfig) -> dict[str, Any]:
    """Return a training configuration as plain values that mean the same in any working directory.

    Interpolations are resolved, local paths are absolute, and the start keys have their defaults.

    Raises:
        ConfigError: the class of the data source cannot be imported.
    """
    config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    config |= copy.deepcopy(START_NODES)
    target = config["data"]["_target_"]
    try:
        source = import_target(target)
    except ConfigError as error:
        raise ConfigError(f"data._target_={target}: {error}") from None
    for key in getattr(source, "local_paths", ()):
        value = config["data"].get(key)
        config["data"][key] = (
            [_absolute(path) for path in value] if isinstance(value, list) else _absolute(value)
        )
    return config


def _absolute(path: Any) -> Any:
    """Return a path of the user's machine as an absolute path; anything else as it is."""
    if isinstance(path, str) and path not in ("", "???") and "://" not in path:
        return str(expanded(path).absolute())
    return path


def without_start_keys(overrides: Sequence[str]) -> list[str]:
    """Return the overrides that belong to the run."""
    return [override for override in overrides if override.split("=", 1)[0] not in START_KEYS]


def write_record(folder: Path, config: dict[str, Any], overrides: Sequence[str]) -> None:
    """Write the three files into `folder`/.hydra, config.yaml last: where it exists, the others do too.

    hydra.yaml is Hydra's own configuration if a Hydra app is running.
    """
    (folder / HYDRA).mkdir(exist_ok=True)
    contents: dict[str, Any] = {
        "overrides.yaml": OmegaConf.create(list(overrides)),
        "hydra.yaml": HydraConfig.instance().cfg if HydraConfig.initialized() else {"hydra": {}},
        "config.yaml": OmegaConf.create(config),
    }
    for name, content in contents.items():
        with atomic_write(folder / HYDRA / name) as temporary:
            OmegaConf.save(content, temporary)


def has_begun(folder: Path) -> bool:
    """Return whether the configuration of a run has been recorded."""
    return (folder / HYDRA / "config.yaml").is_file()


def flattened(node: Any, prefix: str = "") -> dict[str, Any]:
    """Return the values of a nested dict by dotted keys."""
    if not isinstance(node, dict) or not node:
        return {prefix: node}
    flat: dict[str, Any] = {}
    for key, value in node.items():
        flat |= flattened(value, f"{prefix}.{key}" if prefix else str(key))
    return flat


def recorded_config(folder: Path) -> DictConfig:
    """Return the configuration that a run was started with.

    Raises:
        RunError: there is none, or it cannot be read.
    """
    config = _read(folder, "config.yaml")
    if not isinstance(config, DictConfig):
        raise RunError(f"{folder / HYDRA / 'config.yaml'}: cannot be read; start a new run in another folder")
    return config


def recorded_values(folder: Path) -> dict[str, Any] | None:
    """Return the configuration that a run was started with, as plain values; None if it is unknown."""
    config = _read(folder, "config.yaml")
    return OmegaConf.to_container(config) if isinstance(config, DictConfig) else None  # type: ignore[return-value]


def recorded_overrides(folder: Path) -> list[str] | None:
    """Return the overrides that a run was started with; None if they are unknown."""
    overrides = _read(folder, "overrides.yaml")
    if not isinstance(overrides, ListConfig) or not all(isinstance(override, str) for override in overrides):
        return None
    return list(overrides)


def recorded_choices(folder: Path) -> dict[str, Any]:
    """Return the option of each config group that a run was started with; {} if they are unknown."""
    try:
        choices = _recorded_hydra(folder)["runtime"]["choices"]
    except (KeyError, TypeError):
        return {}
    return choices if isinstance(choices, dict) else {}


def recorded_arguments(folder: Path, command: str) -> list[str]:
    """Return the arguments with which a run found configuration files outside of recsys, such as --config-dir.

    Args:
        folder: the run folder.
        command: the primary configuration of the command, which is not repeated.

    Returns:
        The arguments; [] if the run was started in Python, or its record cannot be read.
    """
    try:
        arguments = config_arguments(_recorded_hydra(folder))
    except (KeyError, TypeError, AttributeError):  # not the record of a Hydra app
        return []
    if not all(argument.isprintable() for argument in arguments):  # a line break could fake another line
        return []
    return [argument for argument in arguments if argument != f"--config-name={command}"]


def recorded_sweep(folder: Path) -> bool:
    """Return whether a file that a run chose sweeps keys, such as experiment=ml-100k-folds."""
    try:
        return bool(_recorded_hydra(folder)["sweeper"]["params"])
    except (KeyError, TypeError):
        return False


def config_arguments(hydra: Mapping[str, Any]) -> list[str]:
    """Return the arguments --config-dir, --config-name and hydra.searchpath of a command.

    Args:
        hydra: Hydra's own configuration in that command, as plain values.
    """
    search_path = [word for word in hydra["overrides"]["hydra"] if word.startswith("hydra.searchpath")]
    folders = [f"--config-dir={folder}" for folder in config_folders(hydra)]
    return [*folders, f"--config-name={hydra['job']['config_name']}", *search_path]


def config_folders(hydra: Mapping[str, Any]) -> list[str]:
    """Return the folders that the user named with --config-dir; see `config_arguments`."""
    sources = hydra["runtime"]["config_sources"]
    return [str(source["path"]) for source in sources if source["provider"] == "command-line"]


def _recorded_hydra(folder: Path) -> dict[str, Any]:
    """Return Hydra's own configuration of a run; {} if it is unknown. Interpolations are not resolved."""
    content: Any = _read(folder, "hydra.yaml")
    plain: Any = OmegaConf.to_container(content) if isinstance(content, DictConfig) else {}
    return plain.get("hydra") or {}


def _read(folder: Path, name: str) -> DictConfig | ListConfig | None:
    """Return the content of a file, which may be untrusted; None if it cannot be read."""
    path = folder / HYDRA / name
    try:
        if not path.is_file() or path.stat().st_size > MAX_SIZE or not _is_simple(path.read_text("utf-8")):
            return None
        content = OmegaConf.load(path)
        json.dumps(
            OmegaConf.to_container(content), allow_nan=False
        )  # values of other types, and endless numbers
        return content
    except Exception:  # YAML has many types, whose parsers raise many kinds of errors
        return None


def _is_simple(text: str) -> bool:
    """Return whether YAML has no aliases, which can be endless, and neither too many values nor too deep ones.

    A run never writes aliases.
    """
    depth = 0
    for number, event in enumerate(yaml.parse(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH or number > MAX_VALUES or isinstance(event, yaml.AliasEvent):
            return False
    return True
