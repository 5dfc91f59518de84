"""The network of a checkpoint, as the checkpoint describes it: its class, its arguments and its weights."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from recsys.errors import ConfigError, RunError
from recsys.models.base import RatingNetwork
from recsys.models.scorer import Scorer
from recsys.runs.targets import import_target
from recsys.runs.torch_file import check_plain, check_tensor, read_torch_file, require_format, unreadable
from recsys.runs.trust import Trust, require_trusted


def describe_network(network: RatingNetwork) -> dict[str, Any] | None:
    """Return class and arguments, from which a network can be rebuilt; None if it was not built with `from_data`."""
    if network.arguments is None:
        return None
    return {"class": class_path(type(network)), "arguments": network.arguments}


def class_path(kind: type) -> str:
    """Return the module and the name of a class."""
    return f"{kind.__module__}.{kind.__qualname__}"


def network_from_checkpoint(path: Path, trust: Trust = False) -> RatingNetwork:
    """Rebuild the network of a checkpoint, without its weights.

    Args:
        path: the file, which may be untrusted.
        trust: whether the class may be any code; see `recsys.runs.trust`.

    Raises:
        RunError: the file is missing or damaged, or does not describe a network that is trusted.
    """
    content = read_torch_file(path)
    if isinstance(content, dict) and "recsys" in content:
        require_format(path, content["recsys"])
    if not isinstance(content, dict) or not content.get("network"):
        raise RunError(f"{path}: does not describe its network; pass network=..., or build it with from_data")
    try:
        with torch.device("meta"):  # the description of a huge network must not take its memory
            shapes = build_network(content["network"], path, trust).state_dict()
        for name, tensor in shapes.items():
            check_tensor(content["state_dict"][f"network.{name}"], tuple(tensor.shape), (tensor.dtype,))
        return build_network(content["network"], path, trust)
    except RunError:
        raise
    except Exception as error:  # a description that was tampered with causes many kinds of errors
        raise unreadable(path, error) from None


def build_network(description: dict[str, Any], path: Path, trust: Trust) -> RatingNetwork:
    """Build a network from the content of `describe_network`.

    Raises:
        RunError: its class is not trusted, cannot be imported, or is not a `RatingNetwork`.
        ValueError: its arguments are not plain values.
    """
    require_trusted(description["class"], path, trust)
    check_plain(description["arguments"])
    try:
        network_class = import_target(description["class"])
    except ConfigError as error:
        raise RunError(f"{path}: its network {description['class']} {error}") from None
    if not (isinstance(network_class, type) and issubclass(network_class, RatingNetwork)):
        raise RunError(f"{description['class']} is not a RatingNetwork")
    network = network_class(**description["arguments"])
    network.arguments = description["arguments"]
    return network


def scorers_from_checkpoint(
    content: dict[str, Any], network: RatingNetwork, predicts_ratings: bool
) -> list[Scorer]:
    """Return the scorers of a checkpoint: snapshots, the oldest first, then the current one.

    Args:
        content: the content of the checkpoint.
        network: built with the class and the arguments in the checkpoint.
        predicts_ratings: whether the loss trains ratings.

    Raises:
        RunError: the weights do not fit the network.
    """
    states = content.get("scorers", [])
    if not states:
        return []
    template = network.empty_scorer(predicts_ratings)
    for state in states:
        check_state(state, template)
    return build_scorers(states, template)


def build_scorers(states: Sequence[dict[str, Any]], template: Scorer) -> list[Scorer]:
    """Return copies of a scorer with the given weights, which `check_state` has accepted."""
    scorers = [copy.deepcopy(template) for _ in states]
    for scorer, state in zip(scorers, states, strict=True):
        scorer.load_state_dict(state)
    return scorers


def check_state(state: dict[str, Any], scorer: Scorer) -> None:
    """Check that the weights in a file are those of a scorer, which may be on the meta device.

    Raises:
        RunError: a name, a shape or a type differs, or a weight is not finite.
    """
    expected = scorer.state_dict()
    if different := sorted(state.keys() ^ expected.keys(), key=str):
        raise RunError(f"weights do not fit the network ({', '.join(map(str, different)):.200})")
    for name, tensor in expected.items():
        try:
            check_tensor(state[name], tuple(tensor.shape), (tensor.dtype,))
        except ValueError as error:
            raise RunError(f"weights do not fit the network ({name}: {error})") from None
