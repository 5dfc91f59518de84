"""The nodes of the key `logger`: `logger.<name>.<key>`, one node per tracker."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from recsys.errors import ConfigError, RunError
from recsys.training.trackers.base import Tracker
from recsys.training.trackers.files import FileTracker

Node = Mapping[str, Any]


def logger_nodes(cfg: DictConfig) -> dict[str, dict[str, Any]]:
    """Return the nodes of the key `logger`, which logger=[] removes.

    Raises:
        ConfigError: it does not have one node per tracker.
    """
    nodes: Any = OmegaConf.to_container(cfg, resolve=True).get("logger", {})  # type: ignore[union-attr]
    for error in node_errors(nodes):
        raise ConfigError(error)
    return nodes


def node_errors(nodes: Any) -> Iterator[str]:
    """Yield what makes a value of the key `logger` different from one node per tracker, each with a `_target_`."""
    form = "logger.<name>.<key>; choose options, as in logger=tensorboard or 'logger=[tensorboard,csv]'"
    if not isinstance(nodes, dict):
        yield f"logger={nodes!s:.100}: must have the form {form}"
        return
    for name, node in nodes.items():
        if not isinstance(node, dict) or not isinstance(node.get("_target_"), str):
            yield f"logger.{name}={node!s:.100}: must have the form {form}"


def tracker_class(node: Node) -> type[Tracker]:
    """Return the class that records with a node: its `_target_`, or `FileTracker` for a logger of Lightning."""
    target = get_object(str(node["_target_"]))
    return target if isinstance(target, type) and issubclass(target, Tracker) else FileTracker


def watch_commands(cfg: DictConfig, folder: Path) -> list[str]:
    """Return the commands that show a finished run, or with <folder of a sweep>/* its runs, in their trackers."""
    commands = (tracker_class(node).watch(folder, node) for node in logger_nodes(cfg).values())
    return [command for command in commands if command is not None]


def check_destinations(recorded: DictConfig, typed: DictConfig, folder: Path) -> None:
    """Check that the configuration of a run to resume sends nothing to a place that the user has not chosen.

    Args:
        recorded: the configuration in the run folder, which may be untrusted.
        typed: the configuration that the command composes.
        folder: the run folder, for the message.

    Raises:
        RunError: a key names such a place.
    """
    chosen = logger_nodes(typed)
    for name, node in logger_nodes(recorded).items():
        for key, harmless in tracker_class(node).destinations.items():
            value, own = node.get(key, harmless), chosen.get(name, {}).get(key, harmless)
            if value not in (harmless, own):
                shown = str(value).lower() if isinstance(value, bool) else f"{value!s:.200}"
                raise RunError(
                    f"{folder}: its configuration sends data to another place (logger.{name}.{key}={shown}); if this "
                    "is a run of your own, repeat the overrides that it was started with, or add trust=true"
                )
