"""A finished run, opened again: its network, its data, and the proof that they belong together.

No training code is needed for that, and none is imported: Lightning alone takes seconds.
"""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys.errors import ConfigError, RunError
from recsys.runs.folder import RESULT, checkpoint_in, find_run, read_json

if TYPE_CHECKING:
    from torch import Tensor

    from recsys.data.batches import Batches
    from recsys.data.dataset import Dataset
    from recsys.data.splits import Split
    from recsys.runs.checkpoint import LoadedCheckpoint

BATCH = 16_384  # pairs rated at once


@dataclass(frozen=True, eq=False)
class LoadedRun:
    """A run and what it was made of.

    Attributes:
        folder: of the run.
        trained: its network, from a checkpoint.
        dataset: the ratings.
        split: the run's own.
        result: the content of result.json.
    """

    folder: Path
    trained: "LoadedCheckpoint"
    dataset: "Dataset"
    split: "Split"
    result: dict[str, Any]

    @cached_property
    def trained_users(self) -> "Tensor":
        """bool (n_users,); which users have training ratings."""
        from recsys.data.batches import present

        return present(self.dataset.users[self.split.train], len(self.dataset.user_ids))

    @cached_property
    def trained_items(self) -> "Tensor":
        """bool (n_items,); which items have training ratings."""
        from recsys.data.batches import present

        return present(self.dataset.items[self.split.train], len(self.dataset.item_ids))

    def batches(self, part: str) -> "Batches":
        """All of one part ("train", "val", "test"), in order."""
        from recsys.data.batches import Batches, to_tensors

        return Batches(to_tensors(self.dataset, getattr(self.split, part), "cpu"), BATCH)


def load_run(run: str = "latest", checkpoint: str = "best") -> LoadedRun:
    """Open a finished run.

    Args:
        run: a run folder, or "latest" for the newest completed one under ./outputs.
        checkpoint: "best" or "last".

    Raises:
        UserError: there is no such run, or its data are not what it was trained on.
    """
    if checkpoint not in ("best", "last"):
        raise ConfigError(f"checkpoint={checkpoint}: choose best or last")
    folder = find_run(str(run))
    from hydra.utils import instantiate

    from recsys.runs.checkpoint import load_checkpoint

    trained = load_checkpoint(checkpoint_in(folder, checkpoint))
    data = dict(trained.config["data"])
    if (mirror := os.environ.get("RECSYS_MIRROR")) and "mirror" in data:
        data["mirror"] = mirror  # the one of then may be gone, or of another machine
    dataset = instantiate(data, _convert_="all").load()
    split = instantiate(trained.config["split"], _convert_="all")(dataset)
    result = read_json(folder / RESULT)
    was = result["data"]
    if dataset.sha256 != was["sha256"] or not was["split"].endswith(split.fingerprint):
        raise RunError(
            f"run={run}: {was['name']} or its split is no longer what the run was trained on, "
            f"or another version drew it; now {len(dataset)} ratings, then {was['ratings']}"
        )
    return LoadedRun(folder, trained, dataset, split, result)
