"""Load a finished run with its data. No training code is imported: Lightning alone takes seconds."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys.errors import ConfigError, RunError
from recsys.runs.folder import RESULT, checkpoint_in, find_run, read_json

if TYPE_CHECKING:
    from torch import Tensor

    from recsys.data.batches import Batches
    from recsys.data.biases import Biases
    from recsys.data.dataset import Dataset
    from recsys.data.splits import Split, SplitMethod
    from recsys.runs.checkpoint import LoadedCheckpoint


@dataclass(frozen=True, eq=False)
class LoadedRun:
    """A finished run: its scorer, its data and its result.

    Attributes:
        folder: of the run.
        checkpoint: its scorer and metadata.
        dataset: the ratings.
        split_method: made the split.
        split: of the run.
        result: the content of result.json.
    """

    folder: Path
    checkpoint: "LoadedCheckpoint"
    dataset: "Dataset"
    split_method: "SplitMethod"
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

    @cached_property
    def biases(self) -> "Biases":
        """The bias model of the training set."""
        from recsys.data.biases import fit_biases

        return fit_biases(self.dataset, self.split.train)

    def batches(self, subset: str) -> "Batches":
        """Return all of a subset ("train", "val" or "test") in order."""
        from recsys.data.batches import EVALUATION_BATCH, Batches, to_tensors

        return Batches(to_tensors(self.dataset, getattr(self.split, subset), "cpu"), EVALUATION_BATCH)


def load_run(run: str | Path = "latest", checkpoint: str = "best") -> LoadedRun:
    """Load a finished run.

    Args:
        run: a run folder, or "latest" for the newest completed one under ./outputs.
        checkpoint: "best" or "last".

    Raises:
        UserError: there is no such run, or its data has changed.
    """
    if checkpoint not in ("best", "last"):
        raise ConfigError(f"checkpoint={checkpoint}: must be best or last")
    folder = find_run(str(run))
    from hydra.utils import instantiate

    from recsys.runs.checkpoint import load_checkpoint

    loaded = load_checkpoint(checkpoint_in(folder, checkpoint))
    dataset = instantiate(loaded.config["data"], _convert_="all").on_this_machine().load()
    split_method = instantiate(loaded.config["split"], _convert_="all")
    split = split_method(dataset)
    if loaded.data != (dataset.sha256, split.fingerprint):
        result = read_json(folder / RESULT)["data"]
        raise RunError(
            f"run={run}: the ratings of {result['name']} or their split have changed since the run was trained, or "
            f"another version of recsys drew the split ({len(dataset)} ratings now, {result['ratings']} then)"
        )
    return LoadedRun(folder, loaded, dataset, split_method, split, read_json(folder / RESULT))
