"""Export a scorer as an ONNX or torch.export file with its ids in a JSON file, and check the result."""

import copy
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
from recsys.models.scorer import Scorer
from recsys.runs.checkpoint import LoadedCheckpoint

TOLERANCE = 1e-5  # largest difference between the file's predictions and the checkpoint's, in rating points
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


class ExportedScorer(nn.Module):
    """`Scorer.predict` without context managers, which an exported graph would have to contain.

    Args:
        scorer: on the CPU.
    """

    def __init__(self, scorer: Scorer) -> None:
        super().__init__()
        self.scorer = scorer

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Return float32 ratings (B,) clipped to the scale, or raw scores if these are not ratings.

        Args:
            users: user indices, int64 (B,).
            items: item indices, int64 (B,).
        """
        outputs = self.scorer(users, items).float()
        return outputs.clamp(*self.scorer.scale) if self.scorer.predicts_ratings else outputs


def export(checkpoint: LoadedCheckpoint, path: Path) -> Path:
    """Write a scorer for batches of any length, and `<name>.ids.json` next to it.

    The JSON file contains `users` and `items`, the raw ids in the order of their indices, and `scale`.

    Args:
        checkpoint: the scorer and its ids.
        path: ends with .onnx (inputs "users" and "items", output "ratings") or .pt2 (for `torch.export.load`).

    Returns:
        `path`.

    Raises:
        ConfigError: the suffix is not supported, or packages are missing.
        RunError: the file does not predict the same as the checkpoint.
    """
    if path.suffix not in (".onnx", ".pt2"):
        raise ConfigError(f"export={path}: must end with .onnx or .pt2")
    if path.suffix == ".onnx" and (missing := [name for name in ONNX_PACKAGES if find_spec(name) is None]):
        raise ConfigError(
            f"export={path}: needs {', '.join(missing)}; pip install {' '.join(missing)}, or export to .pt2"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    scorer = checkpoint.scorer
    if scorer.device.type != "cpu":  # the example and the comparison run on a CPU, and so can the file
        scorer = copy.deepcopy(scorer).cpu()
    module = ExportedScorer(scorer).eval()
    ids = {"users": checkpoint.user_ids.ids.tolist(), "items": checkpoint.item_ids.ids.tolist()}
    with atomic_write(path) as model_file, atomic_write(path.with_suffix(".ids.json")) as ids_file:
        ids_file.write_text(json.dumps({**ids, "scale": list(checkpoint.scorer.scale)}) + "\n", "utf-8")
        with _without_exporter_output():
            _write(module, model_file)
            _check(module, model_file, path)
    return path


def run_file(path: Path, users: Tensor, items: Tensor) -> np.ndarray:
    """Return the predictions (B,) of an exported file for user indices (B,) and item indices (B,)."""
    if path.suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        return session.run(["ratings"], {"users": users.numpy(), "items": items.numpy()})[0]
    return torch.export.load(path).module()(users, items).detach().numpy()


def _write(module: ExportedScorer, path: Path) -> None:
    batch = torch.export.Dim("batch")
    example = (torch.tensor([0, 0]), torch.tensor([0, 0]))  # a batch of one would be exported as a constant
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


def _check(module: ExportedScorer, file: Path, path: Path) -> None:
    """Compare a file with its module on batches of several lengths.

    Args:
        module: what was exported.
        file: the file, under its temporary name.
        path: its final name, for the error message.

    Raises:
        RunError: they differ.
    """
    generator = torch.Generator().manual_seed(0)
    for size in (1, 3, 1000):
        users = torch.randint(module.scorer.n_users, (size,), generator=generator)
        items = torch.randint(module.scorer.n_items, (size,), generator=generator)
        with torch.no_grad():
            difference = np.abs(run_file(file, users, items) - module(users, items).numpy()).max()
        if not difference <= TOLERANCE:  # also refuses NaN
            raise RunError(
                f"{path}: predictions differ from the checkpoint's by up to {difference:.2g}; at most {TOLERANCE:g} is "
                "allowed; export with another version of torch, or to the other format"
            )


@contextmanager
def _without_exporter_output() -> Iterator[None]:
    """Silence the exporters' warnings, such as a missing torchvision, which do not concern the user."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
