"""RatingModule: a network's loss, optimizer, schedule, and what is logged."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.nn import Parameter, functional
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from recsys.data.batches import Batch
from recsys.errors import TrainingError
from recsys.evaluation.rating_metrics import RatingErrors
from recsys.models.network import RatingNetwork
from recsys.seeds import seed_for


class RatingModule(pl.LightningModule):
    """Trains a rating network on squared error and measures it on pooled, clipped pairs.

    Logged per epoch: `train/loss` (mean squared error while training, dropout on), `val/rmse`, `val/mae`.
    There is no test step: testing is `recsys.evaluation.rating_metrics.measure`, once, by one process.

    Args:
        network: the network.
        optimizer: from parameters to an optimizer.
        schedule: from (optimizer, steps per epoch, epochs) to a scheduler that is stepped per batch.
        trained_users: bool (n_users,), which users have training ratings.
        trained_movies: bool (n_movies,), likewise.
        card: plain values saved into every checkpoint; see `recsys.checkpoint`.
        seed: of the dropout masks.

    Raises:
        TrainingError: a loss or a metric is not finite.
    """

    def __init__(
        self,
        network: RatingNetwork,
        optimizer: Callable[[Iterable[Parameter]], Optimizer],
        schedule: Callable[[Optimizer, int, int], LRScheduler],
        trained_users: Tensor,
        trained_movies: Tensor,
        card: dict[str, Any],
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.network = network
        self.make_optimizer, self.make_schedule = optimizer, schedule
        self.trained_users, self.trained_movies = trained_users, trained_movies
        self.card, self.seed = card, seed
        self._loss_sum: Tensor | float = 0.0
        self._loss_pairs = 0
        self._errors: list[Tensor] = []

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """One optimizer over all parameters; its schedule moves with every batch."""
        optimizer = self.make_optimizer(self.network.parameters())
        epochs = self.trainer.max_epochs or 1
        steps_per_epoch = max(1, int(self.trainer.estimated_stepping_batches) // epochs)
        schedule = self.make_schedule(optimizer, steps_per_epoch, epochs)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_train_start(self) -> None:
        """From here on only dropout draws from the default generator; every process draws its own masks."""
        torch.manual_seed(seed_for(self.seed, "dropout", self.global_rank))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Mean squared error of the batch."""
        loss = functional.mse_loss(self.network(batch.users, batch.movies), batch.ratings)
        self._loss_sum = self._loss_sum + loss.detach() * len(batch.ratings)  # no wait for the device here
        self._loss_pairs += len(batch.ratings)
        return loss

    def on_train_epoch_end(self) -> None:
        """Log the epoch's loss."""
        loss = float(self._loss_sum) / max(self._loss_pairs, 1)
        self._loss_sum, self._loss_pairs = 0.0, 0
        self._must_be_finite({"train/loss": loss})
        self.log("train/loss", loss, sync_dist=True)

    def on_validation_start(self) -> None:
        """Rows without training ratings predict from the mean row, also in the checkpoint that follows."""
        device = self.device
        self.network.fill_untrained(self.trained_users.to(device), self.trained_movies.to(device))

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Collect predictions; they are summed up at the end, so that the device is waited for once."""
        self._errors.append(torch.stack([self.network.predict(batch.users, batch.movies), batch.ratings]))

    def on_validation_epoch_end(self) -> None:
        """Log val/rmse and val/mae over the pairs of all processes."""
        predicted, true = torch.cat(self._errors, dim=1)
        errors = RatingErrors.of(predicted, true)
        self._errors.clear()
        if self.trainer.world_size > 1:
            sums = self.trainer.strategy.reduce(errors.to_tensor(self.device), reduce_op="sum")
            errors = RatingErrors.from_tensor(sums)
        metrics = errors.metrics("val")
        self._must_be_finite(metrics)
        self.log_dict(metrics, prog_bar=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the card."""
        checkpoint["recsys"] = self.card

    def _must_be_finite(self, values: dict[str, float]) -> None:
        for name, value in values.items():
            if not math.isfinite(value):
                lr = self.trainer.optimizers[0].param_groups[0]["lr"] if self.trainer.optimizers else math.nan
                raise TrainingError(
                    f"{name} is {value} in epoch {self.current_epoch} (step {self.global_step}, "
                    f"learning rate {lr:.3g}): a smaller optimizer.lr or gradient_clip=1 may help"
                )
