"""Checkpoints: plain types and tensors only, with everything that predicting needs."""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.data.fingerprint import fingerprint
from recsys.data.ids import MAX_ID_LENGTH, IdMap, text_id_problem
from recsys.errors import RunError
from recsys.models.base import RatingNetwork
from recsys.models.ensemble import average
from recsys.models.scorer import Scorer
from recsys.runs.folder import FORMAT
from recsys.runs.network import build_network, build_scorers, check_state
from recsys.runs.torch_file import (
    check_plain,
    check_tensor,
    read_torch_file,
    require_format,
    total_bytes,
    unreadable,
)
from recsys.runs.trust import Trust

MAX_THRESHOLD = 1e15  # of relevant ratings; larger values overflow


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
        data: fingerprints of the data and of its split.
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

    @property
    def is_refit(self) -> bool:
        """Whether the network was trained on the validation set, too (refit=true)."""
        return self.config.get("refit") is True

    @property
    def added_metrics(self) -> dict[str, Any]:
        """The metrics that the configuration of the run adds; it may be untrusted, see `recsys.runs.trust`."""
        nodes = self.config.get("metrics")
        return nodes if isinstance(nodes, dict) else {}

    @property
    def ranking(self) -> tuple[int, float | None]:
        """How the run measured rankings: k and the lowest relevant rating, None for the default.

        Raises:
            RunError: the configuration does not say so, because it was tampered with.
        """
        ranking = self.config.get("ranking")
        k, threshold = (
            (ranking.get("k"), ranking.get("threshold")) if isinstance(ranking, dict) else (None, None)
        )
        is_number = isinstance(threshold, int | float) and abs(threshold) < MAX_THRESHOLD  # false for nan
        if type(k) is not int or k < 0 or not (threshold is None or is_number):
            raise RunError(f"ranking={ranking!r:.100}: not valid in the configuration of the checkpoint")
        return k, threshold


def make_metadata(
    network: RatingNetwork, predicts_ratings: bool, dataset: Dataset, split: str, config: dict
) -> dict[str, Any]:
    """Return what is added to each checkpoint of a run.

    Args:
        network: built with `from_data`.
        predicts_ratings: whether the loss trains ratings.
        dataset: for the ids and the scale.
        split: the fingerprint of the split.
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
        "data": [fingerprint(dataset), split],
        "config": config,
    }


def load_checkpoint(path: Path, trust: Trust = False) -> LoadedCheckpoint:
    """Rebuild a scorer from a checkpoint file alone, which may be untrusted.

    Args:
        path: the file.
        trust: whether the class of the network may be any code; see `recsys.runs.trust`.

    Raises:
        RunError: the file is missing or damaged, holds more than plain types and tensors, or does not describe
            a rating network that is trusted, its weights and its ids.
    """
    return read_checkpoint(path, trust)[1]


def read_checkpoint(path: Path, trust: Trust = False) -> tuple[dict[str, Any], LoadedCheckpoint]:
    """Return a checkpoint's content, and what is rebuilt from it.

    Raises:
        RunError: as `load_checkpoint`.
    """
    content = read_torch_file(path)
    metadata = content.get("recsys") if isinstance(content, dict) else None
    if metadata is None:
        raise RunError(f"{path}: a checkpoint, but not of this project")
    require_format(path, metadata)
    try:
        return content, _rebuild(content, metadata, path, trust)
    except RunError as error:
        message = str(error)
        raise RunError(message if message.startswith(str(path)) else f"{path}: {message}") from None
    except Exception as error:  # metadata that was tampered with causes many kinds of errors
        raise unreadable(path, error) from None


def check_format(path: Path) -> None:
    """Check that a checkpoint has the format of this version, without reading its weights.

    Raises:
        RunError: it has another format, or cannot be read.
    """
    content = read_torch_file(path, mmap=True)
    require_format(path, content.get("recsys") if isinstance(content, dict) else None)


def _rebuild(content: dict[str, Any], metadata: dict[str, Any], path: Path, trust: Trust) -> LoadedCheckpoint:
    keys = ("model", "scale", "data", "config")
    check_plain([content["epoch"], *(metadata[key] for key in keys)])
    for key in ("epoch", "global_step"):
        if type(content[key]) is not int or not 0 <= content[key] < 2**53:
            raise ValueError(f"{key}: a number from 0 is needed")
    network, predicts_ratings = content["network"], metadata["predicts_ratings"]
    if not isinstance(predicts_ratings, bool):
        raise ValueError("predicts_ratings: true or false is needed")
    with torch.device("meta"):  # the description of a huge network must not take its memory
        outline = build_network(network, path, trust)
        empty = outline.empty_scorer(predicts_ratings)
    for state in content["scorers"]:
        check_state(state, empty)
    _check_size(outline, path)
    template = build_network(network, path, trust).empty_scorer(predicts_ratings)
    scorers = build_scorers(content["scorers"], template)
    low, high = scorers[-1].scale
    if not low < high or metadata["scale"] != [low, high]:
        raise RunError(f"its scale is {metadata['scale']!r:.100}, and that of its network {low} to {high}")
    model = metadata["model"]
    if not isinstance(model["name"], str) or type(model["parameters"]) is not int or model["parameters"] < 0:
        raise ValueError("model: a name and a number of parameters are needed")
    if not isinstance(metadata["config"], dict):
        raise ValueError("config: not a configuration")
    user_ids = _parse_ids(metadata["user_ids"], "user", scorers[-1].n_users)
    item_ids = _parse_ids(metadata["item_ids"], "item", scorers[-1].n_items)
    members = content.get("members", [len(scorers)])
    if sum(members) != len(scorers) or min(members) < 1:
        raise RunError(f"averages {sum(members)} scorers and has {len(scorers)}")
    left = iter(scorers)
    averaged = [average(list(islice(left, n))) for n in members]
    of_data, of_split = map(str, metadata["data"])
    return LoadedCheckpoint(
        scorer=average(averaged).eval(),
        user_ids=user_ids,
        item_ids=item_ids,
        config=metadata["config"],
        epoch=int(content["epoch"]),
        step=int(content["global_step"]),
        data=(of_data, of_split),
        model={**metadata["model"], "snapshots": len(scorers)},
    )


def _check_size(network: RatingNetwork, path: Path) -> None:
    """Check the size of a network on the meta device.

    The checkpoint of an average has no weights of networks, only of scorers, which can be a third as large.

    Raises:
        RunError: it would take much more memory than the file of its checkpoint.
    """
    total, size = total_bytes(network.state_dict().values()), path.stat().st_size
    if total > 4 * size + 1_000_000:
        raise RunError(f"describes a network of {total:,} bytes in a file of {size:,} bytes")


def _parse_ids(plain: Any, name: str, n: int) -> IdMap:
    """Return the ids of a checkpoint.

    Raises:
        RunError: they are not n distinct whole numbers or texts in ascending order.
    """
    if isinstance(plain, torch.Tensor):
        check_tensor(plain, (None,), (torch.int64,))
    elif not all(isinstance(id, str) and text_id_problem(id) is None for id in plain):
        raise RunError(f"{name} ids are not valid texts of at most {MAX_ID_LENGTH} characters")
    if len(plain) != n:
        raise RunError(f"{len(plain)} {name} ids for a network of {n} {name}s")
    ids = ids_from_plain(plain)
    if not (ids[:-1] < ids[1:]).all():
        raise RunError(f"{name} ids are not a list of distinct values in ascending order")
    return IdMap(ids, name)


def _to_plain(ids: NDArray) -> torch.Tensor | list[str]:
    return torch.from_numpy(ids.copy()) if ids.dtype.kind in "iu" else ids.tolist()


def ids_from_plain(ids: torch.Tensor | list[str]) -> NDArray:
    """Return raw ids as they were before they were saved."""
    return ids.numpy() if isinstance(ids, torch.Tensor) else np.asarray(ids, dtype=object)
