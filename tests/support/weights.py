"""The tensors of a checkpoint file, independent of the classes that they belong to."""

from pathlib import Path
from typing import Any

import torch


def saved_weights(path: Path) -> dict[str, torch.Tensor]:
    """Return the weights of all networks in a checkpoint: the current one and its snapshots."""
    content = torch.load(path, weights_only=True)
    kept = {key: content[key] for key in ("state_dict", "snapshots", "scorers") if key in content}
    return _tensors(kept)


def _tensors(node: Any, prefix: str = "") -> dict[str, torch.Tensor]:
    if isinstance(node, torch.Tensor):
        return {prefix: node}
    if isinstance(node, list | tuple):
        node = dict(enumerate(node))
    found: dict[str, torch.Tensor] = {}
    for key, value in node.items() if isinstance(node, dict) else ():
        found |= _tensors(value, f"{prefix}.{key}")
    return found
