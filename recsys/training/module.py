"""RatingModule: a network's loss, optimizer, schedule, and what is logged."""

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Generator, Tensor
from torch.nn import Parameter
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from recsys.data.batches import Batch, Batches
from recsys.errors import RunError, TrainingError
from recsys.evaluation.ranking_metrics import RankingTask
from recsys.evaluation.rating_metrics import RatingErrors
from recsys.models.base import RatingNetwork
from recsys.models.ensemble import average
from recsys.seeds import seed_for
from recsys.training.losses import pointwise
from recsys.training.regularization import l2_per_occurrence


class RatingModule(pl.LightningModule):
    """Trains a network on a loss and measures it: on pooled, clipped pairs, or by the lists it makes.

    Logged per epoch: `train/loss` (its mean while training, dropout on), and `val/rmse` and `val/mae` or,
    where there is a ranking task, `val/ndcg@k` and `val/recall@k`. There is no test step: one process
    measures the best weights once, by `recsys.evaluation`.

    Args:
        network: the network.
        optimizer: from parameters to an optimizer.
        schedule: from (optimizer, steps per epoch, epochs) to a scheduler that is stepped per batch.
        trained_users: bool (n_users,), which users have training ratings.
        trained_items: bool (n_items,), likewise.
        card: plain values saved into every checkpoint; see `recsys.runs.checkpoint`.
        seed: of the dropout masks and of what a loss draws.
        loss: from (network, batch, generator) to a loss; see `recsys.training.losses`.
        ranking: the validation part's task, where the loss makes an order and no ratings.
        l2: weights of L2 per occurrence by kind of table, {"vectors": ..., "biases": ...}.
        snapshots: what is validated and handed over is the average of this many networks: the one that is
            trained, and as it was at the last ends of cycles; 1: itself alone.
        ends: epochs, counted from 1, at which cycles end.

    Raises:
        TrainingError: a loss or a metric is not finite.
    """

    def __init__(
        self,
        network: RatingNetwork,
        optimizer: Callable[[Iterable[Parameter]], Optimizer],
        schedule: Callable[[Optimizer, int, int], LRScheduler],
        trained_users: Tensor,
        trained_items: Tensor,
        card: dict[str, Any],
        seed: int = 0,
        loss: Callable[[RatingNetwork, Batch, Generator | None], Tensor] = pointwise,
        ranking: RankingTask | None = None,
        l2: Mapping[str, float] | None = None,
        snapshots: int = 1,
        ends: Collection[int] = (),
    ) -> None:
        super().__init__()
        self.network = network
        self.make_optimizer, self.make_schedule = optimizer, schedule
        self.trained_users, self.trained_items = trained_users, trained_items
        self.card, self.seed = card, seed
        self.loss, self.ranking, self.l2 = loss, ranking, dict(l2 or {})
        self.snapshots, self.ends = snapshots, ends
        self.kept: list[RatingNetwork] = []  # in a list, so that their weights are not the module's
        self._generator: Generator | None = None
        self._loss_sum: Tensor | float = 0.0
        self._loss_pairs = 0
        self._errors: list[Tensor] = []
        self._before: dict[str, Any] | None = None  # the checkpoint of a run that goes on

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
        seed = seed_for(self.seed, "negatives", self.global_rank)
        self._generator = Generator(self.device).manual_seed(seed)
        if self._before is not None:
            # Copies: torch reads a state from where its storage begins, and a row does not lie there.
            of_all = self._before["generators"]
            states = {name: of_all[name][self.global_rank].cpu().clone() for name in of_all}
            self._of_default_generator().set_rng_state(states["dropout"])
            self._generator.set_state(states["negatives"])
            # Lightning does so by itself where nobody has asked for the loader before, as our schedule does.
            self._train_batches().load_state_dict(self._before["batches"])
            self._before = None
        self.kept = [network.to(self.device) for network in self.kept]  # of a run that goes on

    def on_train_epoch_start(self) -> None:
        """Where a cycle has just ended, keep the network as it is."""
        if self.snapshots > 1 and self.current_epoch in self.ends:
            self.kept = [*self.kept, self.network.for_evaluation()][1 - self.snapshots :]

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of the batch, and what its rows' length costs."""
        loss = self.loss(self.network, batch, self._generator)
        self._loss_sum = self._loss_sum + loss.detach() * len(batch.ratings)  # no wait for the device here
        self._loss_pairs += len(batch.ratings)
        return loss + l2_per_occurrence(self.network, batch, **self.l2) if any(self.l2.values()) else loss

    def on_train_epoch_end(self) -> None:
        """Log the epoch's loss."""
        loss = float(self._loss_sum) / max(self._loss_pairs, 1)
        self._loss_sum, self._loss_pairs = 0.0, 0
        self._must_be_finite({"train/loss": loss})
        self.log("train/loss", loss, sync_dist=True)

    def on_validation_epoch_start(self) -> None:
        """Rows without training ratings predict from the mean row, also in the checkpoint that follows."""
        device = self.device
        self.network.eval()  # again: a callback may have put averaged weights in place
        self.network.fill_untrained(self.trained_users.to(device), self.trained_items.to(device))

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Collect predictions; they are summed up at the end, so that the device is waited for once."""
        if self.ranking is None:
            predicted = self.outcome.predict(batch.users, batch.items)
            self._errors.append(torch.stack([predicted, batch.ratings]))

    @property
    def outcome(self) -> RatingNetwork:
        """What the run would hand over if it ended now."""
        return average([*self.kept, self.network])

    def on_validation_epoch_end(self) -> None:
        """Log val/rmse and val/mae over the pairs of all processes, or what the lists are worth."""
        metrics = self._rating_metrics() if self.ranking is None else self._ranking_metrics(self.ranking)
        self._must_be_finite(metrics)
        self.log_dict(metrics, prog_bar=True)

    def _ranking_metrics(self, task: RankingTask) -> dict[str, float]:
        # Every process has all weights and ranks for all users, so all come to the same without a word.
        metrics = task.measure(self.outcome)
        return {name: metrics[name] for name in (f"val/ndcg@{task.k}", f"val/recall@{task.k}")}

    def _rating_metrics(self) -> dict[str, float]:
        predicted, true = torch.cat(self._errors, dim=1)
        errors = RatingErrors.of(predicted, true)
        self._errors.clear()
        if self.trainer.world_size > 1:
            sums = self.trainer.strategy.reduce(errors.to_tensor(self.device), reduce_op="sum")
            errors = RatingErrors.from_tensor(sums)
        return errors.metrics("val")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the card, the weights of the networks that are averaged with this one, and what a run needs to
        go on as if it had not been interrupted: the generators of all processes, the epoch's loss so far.
        """
        checkpoint["recsys"] = self.card
        checkpoint["snapshots"] = [network.state_dict() for network in self.kept]
        if self._generator is not None:
            states = {
                "dropout": self._of_default_generator().get_rng_state(),
                "negatives": self._generator.get_state(),
            }
            checkpoint["generators"] = {name: self._of_all_processes(state) for name, state in states.items()}
            checkpoint["batches"] = self._train_batches().state_dict()
        checkpoint["epoch_loss"] = torch.as_tensor(self._loss_sum), self._loss_pairs

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take all of that over again.

        Raises:
            RunError: it is not all there.
        """
        for key in ("generators", "batches", "epoch_loss", "loops", "optimizer_states", "lr_schedulers"):
            if not checkpoint.get(key):
                raise RunError(f"last.ckpt has no {key}: another version wrote it; start the run anew")
        self._before = {key: checkpoint[key] for key in ("generators", "batches")}
        loss, self._loss_pairs = checkpoint["epoch_loss"]
        self._loss_sum = loss.to(self.device)
        self.kept = []
        for weights in checkpoint["snapshots"]:
            self.kept.append(self.network.for_evaluation())
            self.kept[-1].load_state_dict(weights)

    def _train_batches(self) -> Batches:
        assert isinstance(self.trainer.train_dataloader, Batches)
        return self.trainer.train_dataloader

    def _of_all_processes(self, state: Tensor) -> Tensor:
        """A tensor (n,) of every process: (processes, n)."""
        world, state = self.trainer.world_size, state.to(self.device)
        if world == 1:
            return state[None]
        gathered = [torch.empty_like(state) for _ in range(world)]
        torch.distributed.all_gather(gathered, state)
        return torch.stack(gathered)

    def _of_default_generator(self) -> Any:
        """The part of torch that keeps the device's default generator, which dropout draws from."""
        return torch if self.device.type == "cpu" else torch.get_device_module(self.device)

    def _must_be_finite(self, values: dict[str, float]) -> None:
        for name, value in values.items():
            if not math.isfinite(value):
                lr = self.trainer.optimizers[0].param_groups[0]["lr"] if self.trainer.optimizers else math.nan
                raise TrainingError(
                    f"{name} is {value} in epoch {self.current_epoch} (step {self.global_step}, "
                    f"learning rate {lr:.3g}): a smaller optimizer.lr or gradient_clip=1 may help"
                )
