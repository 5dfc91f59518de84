"""A network for other programs: ONNX or torch.export, with the id maps beside it, checked by running it."""

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from recsys.atomic import atomic_write
from recsys.errors import ConfigError, RunError
from recsys.models.base import RatingNetwork
from recsys.runs.checkpoint import LoadedCheckpoint

TOLERANCE = 1e-5  # rating points between the file and the checkpoint
ONNX = ("onnx", "onnxscript", "onnxruntime")


class Exported(nn.Module):
    """User rows int64 (B,) and item rows int64 (B,) to ratings float32 (B,), clipped to the scale, or to the
    scores of a network that does not rate."""

    def __init__(self, network: RatingNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Ratings of pairs of rows."""
        outputs = self.network(users, items).float()
        return outputs.clamp(*self.network.scale) if self.network.rates else outputs


def export(trained: LoadedCheckpoint, path: Path) -> Path:
    """Write a network whose batch may have any length, and `<name>.ids.json` beside it.

    The JSON holds `users` and `items`, lists of raw ids in the order of their rows, and `scale`.

    Args:
        trained: from a checkpoint.
        path: ends with .onnx (inputs "users" and "items", output "ratings") or .pt2 (`torch.export.load`).

    Returns:
        The path.

    Raises:
        ConfigError: another suffix, or packages are missing.
        RunError: what was written does not rate as the checkpoint does.
    """
    if path.suffix not in (".onnx", ".pt2"):
        raise ConfigError(f"export={path}: a file that ends with .onnx or .pt2 expected")
    if path.suffix == ".onnx" and (missing := [name for name in ONNX if find_spec(name) is None]):
        raise ConfigError(
            f"export={path}: needs {', '.join(missing)} (pip install {' '.join(missing)}), .pt2 does not"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    module = Exported(trained.network).eval()
    ids = {"users": trained.user_ids.ids.tolist(), "items": trained.item_ids.ids.tolist()}
    with atomic_write(path) as network, atomic_write(path.with_suffix(".ids.json")) as facts:
        facts.write_text(json.dumps({**ids, "scale": list(trained.network.scale)}) + "\n")
        with _quiet():
            _write(module, network)
            _check(module, network, path)
    return path


def _write(module: Exported, path: Path) -> None:
    batch = torch.export.Dim("batch")
    example = (torch.tensor([0, 0]), torch.tensor([0, 0]))  # a batch of one would be taken for a constant
    shapes = {"users": {0: batch}, "items": {0: batch}}
    if path.suffix == ".pt2":
        torch.export.save(torch.export.export(module, example, dynamic_shapes=shapes), path)
        return
    torch.onnx.export(
        module,
        example,
        path,
        dynamo=True,
        external_data=False,
        input_names=["users", "items"],
        output_names=["ratings"],
        dynamic_shapes=shapes,
        verbose=False,
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch's exporters tell of themselves: absent torchvision, renamed axes."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _check(module: Exported, file: Path, path: Path) -> None:
    """Run the file, which is to become `path`, on batches of several lengths."""
    generator = torch.Generator().manual_seed(0)
    for size in (1, 3, 1000):
        users = torch.randint(module.network.n_users, (size,), generator=generator)
        items = torch.randint(module.network.n_items, (size,), generator=generator)
        with torch.no_grad():
            difference = np.abs(run_file(file, users, items) - module(users, items).numpy()).max()
        if not difference <= TOLERANCE:
            raise RunError(f"{path}: rates differently from the checkpoint, by up to {difference:.2g}")


def run_file(path: Path, users: Tensor, items: Tensor) -> np.ndarray:
    """Ratings (B,) that an exported file gives to user rows (B,) and item rows (B,)."""
    if path.suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        return session.run(["ratings"], {"users": users.numpy(), "items": items.numpy()})[0]
    return torch.export.load(path).module()(users, items).detach().numpy()
