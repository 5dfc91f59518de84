"""Checkpoints: plain types and tensors only, and everything in them that is needed to predict again."""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.utils import get_class
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.data.ids import IdMap
from recsys.errors import RunError
from recsys.models.base import RatingNetwork
from recsys.models.ensemble import average

FORMAT = 2  # of the card; raised when its keys change
PREFIX = "network."  # of the weights that are the network's, among those of a module


@dataclass(frozen=True, eq=False)
class LoadedCheckpoint:
    """A network as it was saved, and what its rows and outputs mean.

    Attributes:
        network: in evaluation mode, on the CPU; an `Ensemble`, where snapshots or runs are averaged.
        user_ids: raw user ids.
        item_ids: raw item ids.
        config: the run's whole configuration.
        epoch: the epoch (from 0) after which it was saved.
        step: the batches it was trained on.
        data: fingerprints of the ratings and of their split; None where it was written before there were any.
    """

    network: RatingNetwork
    user_ids: IdMap
    item_ids: IdMap
    config: dict[str, Any]
    epoch: int
    step: int
    data: tuple[str, str] | None


def make_metadata(
    network: RatingNetwork, arguments: dict[str, Any], dataset: Dataset, split: str, config: dict
) -> dict[str, Any]:
    """What `RatingModule` adds to each checkpoint.

    Args:
        network: the network.
        arguments: the keyword arguments it was built with, as plain values.
        dataset: for the id maps and the scale.
        split: the fingerprint of its split.
        config: the resolved configuration, as plain values.
    """
    return {
        "format": FORMAT,
        "network": f"{type(network).__module__}.{type(network).__qualname__}",
        "arguments": arguments,
        "user_ids": _to_plain(dataset.user_ids.ids),
        "item_ids": _to_plain(dataset.item_ids.ids),
        "scale": list(dataset.scale),
        "predicts_ratings": network.rates,
        "data": [dataset.sha256, split],
        "config": config,
    }


def load_checkpoint(path: Path) -> LoadedCheckpoint:
    """Rebuild a network from a checkpoint file alone, which may come from anybody.

    Raises:
        RunError: the file is not there, is damaged, holds more than plain types and tensors, or does not
            describe a rating network, its weights and its ids.
    """
    return _load(path)[1]


def join_checkpoints(paths: Sequence[Path]) -> dict[str, Any]:
    """The content of a checkpoint whose network is the average of those in other checkpoints.

    Each of them counts the same, however many snapshots it is an average of. Card and configuration are those
    of the first, the epoch is the latest of theirs and the steps are their sum.

    Args:
        paths: checkpoints of networks of one class with equal arguments, for the same ids.

    Raises:
        RunError: one cannot be read, is an average of runs itself, or is of another kind than the first; then
            names both and what differs.
    """
    contents = [_load(path)[0] for path in paths]
    first = _kind(contents[0]["recsys"])
    for path, content in zip(paths, contents, strict=True):
        if "members" in content:
            raise RunError(f"{path}: an average of runs itself; average its members instead")
        own = _kind(content["recsys"])
        for key in dict.fromkeys([*first, *own]):
            if first.get(key) != own.get(key):
                values = "" if key.endswith(" ids") else f" ({first.get(key)}; {own.get(key)})"
                raise RunError(f"{paths[0]} and {path} differ in {key}{values}: they have no average")
    states = [_states(content) for content in contents]
    *snapshots, last = [state for of_run in states for state in of_run]
    return {
        "recsys": contents[0]["recsys"],
        "snapshots": snapshots,
        "state_dict": {f"{PREFIX}{key}": value for key, value in last.items()},
        "members": [len(of_run) for of_run in states],  # how many networks are of each
        "epoch": max(content["epoch"] for content in contents),
        "global_step": sum(content["global_step"] for content in contents),
    }


def _load(path: Path) -> tuple[dict[str, Any], LoadedCheckpoint]:
    """A checkpoint's content, and what is rebuilt of it."""
    try:
        with zipfile.ZipFile(path) as archive:
            if (damaged := archive.testzip()) is not None:  # torch does not look at the checksums
                raise RunError(f"{path}: damaged ({damaged} is not what was written)")
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise RunError(f"{path}: no such checkpoint") from None
    except RunError:
        raise
    except Exception as problem:  # damage takes many forms
        raise RunError(f"{path}: not a checkpoint of this project, or damaged ({_reason(problem)})") from None
    card = content.get("recsys") if isinstance(content, dict) else None
    if card is None:
        raise RunError(f"{path}: a checkpoint, but not of this project")
    try:
        return content, _rebuild(content, card)
    except RunError as problem:
        raise RunError(f"{path}: {problem}") from None
    except Exception as problem:  # whatever a made-up card may bring about
        raise RunError(f"{path}: damaged, or made up ({_reason(problem)})") from None


def _rebuild(content: dict[str, Any], card: dict[str, Any]) -> LoadedCheckpoint:
    if card["format"] != FORMAT:
        raise RunError(f"has format {card['format']}, this version reads {FORMAT}: train again")
    network_class = get_class(card["network"])
    if not issubclass(network_class, RatingNetwork):
        raise RunError(f"{card['network']} is no RatingNetwork")
    networks = []
    for state in _states(content):
        network = network_class(**card["arguments"])
        try:
            network.load_state_dict(state)
        except RuntimeError as problem:
            raise RunError(
                f"weights do not fit the network ({str(problem).splitlines()[-1].strip()})"
            ) from None
        network.rates = card["predicts_ratings"]
        networks.append(network)
    user_ids = IdMap(_from_plain(card["user_ids"]), "user")
    item_ids = IdMap(_from_plain(card["item_ids"]), "item")
    for ids, rows in ((user_ids, networks[-1].n_users), (item_ids, networks[-1].n_items)):
        if ids.ids.ndim != 1 or len(np.unique(ids.ids)) != len(ids):
            raise RunError(f"{ids.name} ids are not a list in which each comes once")
        if len(ids) != rows:
            raise RunError(f"{len(ids)} {ids.name} ids for a network of {rows} rows")
    left = iter(networks)
    members = [average(list(islice(left, many))) for many in content.get("members", [len(networks)])]
    return LoadedCheckpoint(
        network=average(members).eval(),
        user_ids=user_ids,
        item_ids=item_ids,
        config=card["config"],
        epoch=int(content["epoch"]),
        step=int(content["global_step"]),
        data=tuple(card["data"]) if "data" in card else None,
    )


def _reason(problem: Exception) -> str:
    return f"{type(problem).__name__}: {problem}".splitlines()[0]


def _states(content: dict[str, Any]) -> list[dict[str, torch.Tensor]]:
    """The weights of all networks in a checkpoint: snapshots, the oldest first, then its own."""
    state = content["state_dict"]
    own = {key.removeprefix(PREFIX): value for key, value in state.items() if key.startswith(PREFIX)}
    return [*content.get("snapshots", ()), own]


def _kind(card: dict[str, Any]) -> dict[str, Any]:
    """What networks must have in common to have an average."""
    return {
        "network": card["network"],
        "predicts_ratings": card["predicts_ratings"],
        "scale": card["scale"],
        "user ids": _from_plain(card["user_ids"]).tolist(),
        "item ids": _from_plain(card["item_ids"]).tolist(),
        **card["arguments"],
    }


def _to_plain(ids: NDArray) -> torch.Tensor | list[str]:
    return torch.from_numpy(ids.copy()) if ids.dtype.kind in "iu" else ids.tolist()


def _from_plain(ids: torch.Tensor | list[str]) -> NDArray:
    return ids.numpy() if isinstance(ids, torch.Tensor) else np.asarray(ids, dtype=str)
