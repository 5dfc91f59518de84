"""A finished run on synthetic ratings, for tests of code that loads a run."""

from collections.abc import Sequence
from pathlib import Path

from support.tiny import PLAIN

from recsys.experiment.compose import compose
from recsys.experiment.train import train

LEARNED = [
    *("data=synthetic", "data.ratings=12000", "data.users=200", "data.items=120", "data.noise=0.2", *PLAIN),
    *("model.embedding_dim=8", "model.hidden=[32]", "model.dropouts=0", "model.embedding_dropout=0"),
    *("batch_size=500", "schedule.cycle_epochs=6", "max_epochs=12", "hardware=cpu", "logger=none"),
]


def finished_run(folder: Path, overrides: Sequence[str] = LEARNED) -> Path:
    """Train into `folder`, and return it."""
    return train(compose(*overrides), folder).folder
