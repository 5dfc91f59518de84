"""Checkpoints: plain types and tensors only, with everything that predicting needs."""

import copy
import zipfile
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
from recsys.errors import RunError, named_line
from recsys.models.base import RatingNetwork
from recsys.models.ensemble import average
from recsys.models.scorer import Scorer
from recsys.runs.folder import FORMAT


@dataclass(frozen=True, eq=False)
class LoadedCheckpoint:
    """A scorer as it was saved, and what its indices and outputs mean.

    Attributes:
        scorer: on the CPU; an `EnsembleScorer` if snapshots or runs are averaged.
        user_ids: raw user ids.
        item_ids: raw item ids.
        config: the run's whole configuration.
        epoch: the epoch (from 0) after which it was saved.
        step: number of batches it was trained on.
        data: fingerprints of the ratings and of their split.
        model: {"name": ..., "parameters": number of trained parameters of one network, "snapshots": number of
            averaged networks}.
    """

    scorer: Scorer
    user_ids: IdMap
    item_ids: IdMap
    config: dict[str, Any]
    epoch: int
    step: int
    data: tuple[str, str]
    model: dict[str, Any]


def make_metadata(
    network: RatingNetwork, predicts_ratings: bool, dataset: Dataset, fingerprint: str, config: dict
) -> dict[str, Any]:
    """Return what is added to each checkpoint of a run.

    Args:
        network: built with `from_data`.
        predicts_ratings: whether the loss trains ratings.
        dataset: for the ids and the scale.
        fingerprint: of the split.
        config: the resolved configuration, as plain values.
    """
    return {
        "format": FORMAT,
        "model": {
            "name": network.name,
            "parameters": sum(p.numel() for p in network.parameters() if p.requires_grad),
        },
        "predicts_ratings": predicts_ratings,
        "user_ids": _to_plain(dataset.user_ids.ids),
        "item_ids": _to_plain(dataset.item_ids.ids),
        "scale": list(dataset.scale),
        "data": [dataset.sha256, fingerprint],
        "config": config,
    }


def describe_network(network: RatingNetwork) -> dict[str, Any] | None:
    """Return what rebuilds a network: its class and arguments; None if it was not built with `from_data`."""
    if network.arguments is None:
        return None
    kind = type(network)
    return {"class": f"{kind.__module__}.{kind.__qualname__}", "arguments": network.arguments}


def load_checkpoint(path: Path) -> LoadedCheckpoint:
    """Rebuild a scorer from a checkpoint file alone, which may be untrusted.

    Raises:
        RunError: the file is missing or damaged, holds more than plain types and tensors, or does not describe
            a rating network, its weights and its ids.
    """
    return read_checkpoint(path)[1]


def network_from_checkpoint(path: Path) -> RatingNetwork:
    """Rebuild the network of a checkpoint, without its weights.

    Raises:
        RunError: the file is missing or damaged, or does not describe a network.
    """
    content = _read(path)
    if isinstance(content, dict) and "recsys" in content:
        _check_format(path, content["recsys"])
    if not isinstance(content, dict) or not content.get("network"):
        raise RunError(f"{path}: does not describe its network; pass network=..., or build it with from_data")
    return _build_network(content["network"])


def scorers_from_checkpoint(
    content: dict[str, Any], network: RatingNetwork, predicts_ratings: bool
) -> list[Scorer]:
    """Return the scorers of a checkpoint: snapshots, the oldest first, then the current one.

    Args:
        content: of the checkpoint.
        network: of the class and arguments that the scorers were made of.
        predicts_ratings: whether the loss trains ratings.

    Raises:
        RunError: the weights do not fit the network.
    """
    states = content.get("scorers", [])
    if not states:
        return []
    template = network.empty_scorer(predicts_ratings)
    scorers = []
    for state in states:
        scorer = copy.deepcopy(template)
        try:
            scorer.load_state_dict(state)
        except RuntimeError as error:
            reason = str(error).splitlines()[-1].strip()
            raise RunError(f"weights do not fit the network ({reason})") from None
        scorers.append(scorer)
    return scorers


def _read(path: Path) -> Any:
    """Return the content of a checkpoint file."""
    try:
        with zipfile.ZipFile(path) as archive:
            if (damaged := archive.testzip()) is not None:  # torch does not verify the checksums
                raise RunError(f"{path}: damaged (checksum of {damaged} does not match)")
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise RunError(f"{path}: no such checkpoint") from None
    except RunError:
        raise
    except Exception as error:  # damage causes many kinds of errors
        raise _unreadable(path, error) from None


def read_checkpoint(path: Path) -> tuple[dict[str, Any], LoadedCheckpoint]:
    """Return a checkpoint's content, and what is rebuilt from it.

    Raises:
        RunError: as `load_checkpoint`.
    """
    content = _read(path)
    metadata = content.get("recsys") if isinstance(content, dict) else None
    if metadata is None:
        raise RunError(f"{path}: a checkpoint, but not of this project")
    try:
        _check_format(path, metadata)
    except (KeyError, TypeError) as error:
        raise _unreadable(path, error) from None
    try:
        return content, _rebuild(content, metadata)
    except RunError as error:
        raise RunError(f"{path}: {error}") from None
    except Exception as error:  # metadata that was tampered with causes many kinds of errors
        raise RunError(f"{path}: damaged, or not written by recsys ({named_line(error)})") from None


def check_format(path: Path) -> None:
    """Check that a checkpoint has the format of this version, without reading its weights.

    Raises:
        RunError: it has another format, or cannot be read.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        _check_format(path, content["recsys"])
    except RunError:
        raise
    except Exception as error:  # damage causes many kinds of errors
        raise _unreadable(path, error) from None


def _check_format(path: Path, metadata: Any) -> None:
    if (found := metadata["format"]) != FORMAT:
        raise RunError(f"{path}: has format {found}, this version reads format {FORMAT}: train again")


def _unreadable(path: Path, error: Exception) -> RunError:
    return RunError(f"{path}: not a checkpoint of this project, or damaged ({named_line(error)})")


def _rebuild(content: dict[str, Any], metadata: dict[str, Any]) -> LoadedCheckpoint:
    network = _build_network(content["network"])
    scorers = scorers_from_checkpoint(content, network, metadata["predicts_ratings"])
    user_ids = IdMap(ids_from_plain(metadata["user_ids"]), "user")
    item_ids = IdMap(ids_from_plain(metadata["item_ids"]), "item")
    for ids, n in ((user_ids, scorers[-1].n_users), (item_ids, scorers[-1].n_items)):
        if ids.ids.ndim != 1 or len(np.unique(ids.ids)) != len(ids):
            raise RunError(f"{ids.name} ids are not a list of distinct values")
        if len(ids) != n:
            raise RunError(f"{len(ids)} {ids.name} ids for a network of {n} {ids.name}s")
    left = iter(scorers)
    members = [average(list(islice(left, n))) for n in content.get("members", [len(scorers)])]
    return LoadedCheckpoint(
        scorer=average(members).eval(),
        user_ids=user_ids,
        item_ids=item_ids,
        config=metadata["config"],
        epoch=int(content["epoch"]),
        step=int(content["global_step"]),
        data=tuple(metadata["data"]),
        model={**metadata["model"], "snapshots": len(scorers)},
    )


def _build_network(description: dict[str, Any]) -> RatingNetwork:
    network_class = get_class(description["class"])
    if not issubclass(network_class, RatingNetwork):
        raise RunError(f"{description['class']} is not a RatingNetwork")
    network = network_class(**description["arguments"])
    network.arguments = description["arguments"]
    return network


def _to_plain(ids: NDArray) -> torch.Tensor | list[str]:
    return torch.from_numpy(ids.copy()) if ids.dtype.kind in "iu" else ids.tolist()


def ids_from_plain(ids: torch.Tensor | list[str]) -> NDArray:
    """Return raw ids as they were before they were saved."""
    return ids.numpy() if isinstance(ids, torch.Tensor) else np.asarray(ids, dtype=str)
