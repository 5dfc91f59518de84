"""Join checkpoints of several runs into one whose scorer is their average."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recsys.errors import RunError
from recsys.runs.checkpoint import ids_from_plain, read_checkpoint
from recsys.runs.trust import Trust


def join_checkpoints(paths: Sequence[Path], trust: Trust = False) -> dict[str, Any]:
    """Return the content of a checkpoint whose scorer is the average of those in other checkpoints.

    Each checkpoint has the same weight, however many snapshots it averages. Metadata and configuration are those
    of the first, the epoch is the latest, the steps are summed.

    Args:
        paths: checkpoints of networks of one class with equal arguments, for the same ids.
        trust: whether their class may be any code; see `recsys.runs.trust`.

    Raises:
        RunError: one cannot be read, is an average of runs itself, or differs from the first in more than its
            weights; the error names both and the difference.
    """
    contents = [read_checkpoint(path, trust)[0] for path in paths]
    first = _kind(contents[0])
    for path, content in zip(paths, contents, strict=True):
        if "members" in content:
            raise RunError(f"{path}: is an average of runs itself; average its members instead")
        own = _kind(content)
        for key in dict.fromkeys([*first, *own]):
            if first.get(key) != own.get(key):
                values = "" if key.endswith("_ids") else f" ({first.get(key)} and {own.get(key)})"
                raise RunError(f"{paths[0]} and {path} differ in {key}{values}: they cannot be averaged")
    return {
        "recsys": contents[0]["recsys"],
        "network": contents[0]["network"],
        "scorers": [state for content in contents for state in content["scorers"]],
        "members": [len(content["scorers"]) for content in contents],
        "epoch": max(content["epoch"] for content in contents),
        "global_step": sum(content["global_step"] for content in contents),
    }


def _kind(content: dict[str, Any]) -> dict[str, Any]:
    """Return what checkpoints must have in common to be averaged."""
    metadata = content["recsys"]
    config = metadata["config"]
    is_refit = config.get("refit") is True
    return {
        "network": content["network"]["class"],
        "predicts_ratings": metadata["predicts_ratings"],
        "data": list(metadata["data"]),  # fingerprints of the data and of the split
        "refit": is_refit,
        # With refit, the validation metrics of the members are averaged.
        "ranking": config.get("ranking") if is_refit else None,
        "scale": metadata["scale"],
        "user_ids": ids_from_plain(metadata["user_ids"]).tolist(),
        "item_ids": ids_from_plain(metadata["item_ids"]).tolist(),
        **content["network"]["arguments"],
    }
