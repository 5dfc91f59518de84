"""A finished run, opened again: its network, its data, and the proof that they belong together."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys.errors import ConfigError, RunError
from recsys.runs import RESULT, find_run, read_json

if TYPE_CHECKING:
    from recsys.checkpoint import Trained
    from recsys.data.datamodule import MovieLensDataModule
    from recsys.data.dataset import Dataset


@dataclass(frozen=True, eq=False)
class Reopened:
    """A run and what it was made of.

    Attributes:
        folder: of the run.
        trained: its network, from a checkpoint.
        data: set up, with the run's own split.
        result: the content of result.json.
    """

    folder: Path
    trained: "Trained"
    data: "MovieLensDataModule"
    result: dict[str, Any]

    @property
    def dataset(self) -> "Dataset":
        """The ratings."""
        assert self.data.dataset is not None
        return self.data.dataset


def reopen(run: str = "latest", checkpoint: str = "best") -> Reopened:
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
    from omegaconf import OmegaConf

    from recsys.checkpoint import load_checkpoint
    from recsys.training.build import build_data

    trained = load_checkpoint(folder / "checkpoints" / f"{checkpoint}.ckpt")
    data = build_data(OmegaConf.create(trained.config))
    data.setup()
    result = read_json(folder / RESULT)
    opened, was = Reopened(folder, trained, data, result), result["data"]
    if opened.dataset.sha256 != was["sha256"] or not was["split"].endswith(data.split.fingerprint):
        raise RunError(
            f"run={run}: {was['name']} or its split is no longer what the run was trained on; "
            f"now {len(opened.dataset)} ratings, then {was['ratings']}"
        )
    return opened
