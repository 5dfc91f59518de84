"""A callback: what happens during training besides the training steps."""

from typing import Any

import pytorch_lightning as pl

from recsys.training import RatingModule


class VectorLengths(pl.Callback):
    """Logs the mean length of the vectors of a table after each epoch, as `length/<table>`.

    Args:
        table: an attribute of the network that is an `nn.Embedding`.
    """

    def __init__(self, table: str = "user_vector") -> None:
        self.table = table
        self.lengths: list[float] = []

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Measure and log the length; every logger of the run shows it as a curve."""
        assert isinstance(pl_module, RatingModule)
        vectors = getattr(pl_module.network, self.table).weight
        self.lengths.append(float(vectors.detach().norm(dim=1).mean()))
        pl_module.log(f"length/{self.table}", self.lengths[-1])

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs: it continues with the lengths of the epochs before."""
        return {"lengths": self.lengths}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state of the interrupted run."""
        self.lengths = list(state_dict["lengths"])
