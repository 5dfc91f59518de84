"""Load a finished run from its folder alone. No training code is imported: Lightning alone takes seconds."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys.errors import ConfigError
from recsys.runs.folder import RESULT, checkpoint_in, find_run
from recsys.runs.trust import Trust

if TYPE_CHECKING:
    import torch

    from recsys.runs.checkpoint import LoadedCheckpoint
    from recsys.runs.data import RunData


@dataclass(frozen=True, eq=False)
class LoadedRun:
    """A finished run.

    Attributes:
        folder: of the run.
        checkpoint: its scorer and metadata.
        result: the content of result.json.
    """

    folder: Path
    checkpoint: "LoadedCheckpoint"
    result: dict[str, Any]

    @cached_property
    def data(self) -> "RunData":
        """What recommending needs of the ratings; read from data.pt when it is first used.

        Raises:
            RunError: the file is missing or damaged.
        """
        from recsys.runs.data import load_data

        checkpoint = self.checkpoint
        return load_data(self.folder, checkpoint.data, len(checkpoint.user_ids), len(checkpoint.item_ids))


def load_run(
    run: str | Path = "latest",
    checkpoint: str = "best",
    trust: Trust = False,
    device: "torch.device | str" = "cpu",
) -> LoadedRun:
    """Load a finished run, which may come from someone else.

    Everything is read from its folder, so it works on any machine; the ratings and their split are not needed.

    Args:
        run: a run folder, or "latest" for the newest completed one under ./outputs.
        checkpoint: "best" or "last".
        trust: whether the class of the network may be any code, not only one of recsys; see docs/security.md.
        device: where the scorer computes.

    Raises:
        UserError: there is no such run, or its files are damaged or not trusted.
    """
    if checkpoint not in ("best", "last"):
        raise ConfigError(f"checkpoint={checkpoint}: must be best or last")
    folder = find_run(str(run))
    from recsys.runs.checkpoint import load_checkpoint
    from recsys.runs.outcome import Loaded, read_record

    loaded = load_checkpoint(checkpoint_in(folder, checkpoint), trust)
    loaded.scorer.to(device)
    return LoadedRun(folder, loaded, read_record(folder / RESULT, Loaded))
