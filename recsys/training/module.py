"""RatingModule: a network with its loss, optimizer and schedule as a LightningModule."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Self

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Generator, Tensor
from torch.nn import Parameter
from torch.optim import AdamW, Optimizer

from recsys.data.batches import Batch, Batches
from recsys.data.datamodule import MovieLensDataModule
from recsys.errors import ConfigError, TrainingError, UserError
from recsys.evaluation.added_metrics import NO_METRICS, AddedMetrics
from recsys.evaluation.objective import Objective
from recsys.models.base import RatingNetwork
from recsys.runs.network import describe_network, network_from_checkpoint, scorers_from_checkpoint
from recsys.runs.torch_file import unreadable
from recsys.runs.trust import Trust
from recsys.training.cuda_graph import CapturedStep, make_captured_step, undo_changes
from recsys.training.epoch_loss import EpochLoss
from recsys.training.evaluation import Evaluation
from recsys.training.losses import Loss, Pointwise
from recsys.training.random_state import RandomState
from recsys.training.returned import check_loss, check_scheduler
from recsys.training.schedules import CosineRestarts, Schedule

ADAMW = partial(AdamW, weight_decay=0.2, fused=True)


class RatingModule(pl.LightningModule):
    """Trains a network and measures its scorer: by rating metrics, or by ranking metrics if the loss ranks.

    Logged per epoch: `train/loss` (mean over the epoch, with dropout, without the L2 penalty), and `val/rmse` and
    `val/mae`, or `val/ndcg@k` and `val/recall@k`, and added metrics. `Trainer.test` returns all metrics of the test
    set.

    Args:
        network: the network to train.
        lr: the (highest) learning rate.
        optimizer: called with (parameters, lr=lr).
        schedule: the learning-rate schedule, stepped per batch.
        loss: what is minimised, including its L2 penalty.
        seed: of dropout masks and of a loss's random draws.
        compiled: whether loss and penalty are compiled with `torch.compile`.
        cuda_graph: whether a step is captured as a CUDA graph, where that is possible.
        added_metrics: metrics in addition to the built-in ones.
        objective: the metric that selects weights; None: that of the loss.

    Attributes:
        evaluation: the scorers of the network and their metrics.
        generator: of a loss's random draws; None before training.

    Raises:
        TrainingError: a loss or a metric is not finite.
    """

    def __init__(
        self,
        network: RatingNetwork,
        lr: float = 3e-3,
        optimizer: Callable[..., Optimizer] = ADAMW,
        schedule: Schedule | None = None,
        loss: Loss | None = None,
        seed: int = 1,
        compiled: bool = False,
        cuda_graph: bool = False,
        added_metrics: AddedMetrics = NO_METRICS,
        objective: Objective | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters("lr", "seed", logger=False)
        self.network, self.lr, self.optimizer, self.seed = network, lr, optimizer, seed
        self.compiled, self.cuda_graph = compiled, cuda_graph
        self.schedule = schedule or CosineRestarts()
        self.loss = loss or Pointwise()
        self.evaluation = Evaluation(network, self.loss, added_metrics, objective)
        self._random: RandomState | None = None
        self._epoch_loss = EpochLoss()
        self._captured: CapturedStep | None = None
        self.has_started = False  # whether training has begun, after the state of a checkpoint was restored
        self._resumed: Mapping[str, Any] = {}  # state of a checkpoint that is applied when training starts
        example = self.make_optimizer([Parameter(torch.zeros(1))])
        self.has_sparse_gradients = bool(getattr(example, "sparse_gradients", False))
        if self.has_sparse_gradients:
            network.use_sparse_gradients()

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]
        cls, checkpoint_path: str | Path, trust: Trust = False, **arguments: Any
    ) -> Self:
        """Rebuild a module from a checkpoint; reads plain types and tensors only (weights_only=True).

        Args:
            checkpoint_path: a checkpoint of this project, or of any Trainer if `network` is given.
            trust: whether the network may be of any class, not only of one of recsys; see docs/security.md.
            arguments: of the constructor, and map_location. Without `network`, the network is rebuilt from the
                checkpoint, which works if it was built with `from_data`.

        Raises:
            RunError: the file is missing or damaged, does not describe a network that is trusted, or has weights that
                are not finite.
        """
        path = Path(checkpoint_path)
        is_rebuilt = "network" not in arguments
        if is_rebuilt:
            arguments["network"] = network_from_checkpoint(path, trust)
        try:
            # Some versions of Lightning call the function that `_instantiator` in the file names.
            module = super().load_from_checkpoint(path, weights_only=True, _instantiator=None, **arguments)
            if not all(bool(weight.isfinite().all()) for weight in module.state_dict().values()):
                raise ValueError("weights that are not finite (nan or inf)")
        except Exception as error:  # damage causes many kinds of errors, and so do arguments of the caller
            if isinstance(error, UserError) or not is_rebuilt:
                raise
            raise unreadable(path, error) from error
        return module

    def objective(self, k: int) -> Objective:
        """Return the metric that selects weights.

        Args:
            k: number of recommendations per user in ranking metrics.
        """
        return self.evaluation.objective or self.loss.objective(k)

    @property
    def generator(self) -> Generator | None:
        """The generator of a loss's random draws."""
        return None if self._random is None else self._random.draws

    def setup(self, stage: str) -> None:
        """Set up the network from the training set, unless `from_data` has already done so."""
        self.evaluation.reset_data()
        data = getattr(self.trainer, "datamodule", None)
        if isinstance(data, MovieLensDataModule):
            data.selected = self.loss.selected
            if self.network.trained_users is None:
                self.network.setup_from_data(data.dataset, data.split.train)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return one optimizer for all parameters and a scheduler that is stepped after each optimizer step.

        Raises:
            ConfigError: the Trainer limits neither epochs nor steps, so the schedule has no end.
        """
        optimizer = self.make_optimizer(list(self.network.parameters()))
        scheduler = self.schedule(optimizer, *self._length())
        check_scheduler(self.schedule, scheduler)
        # The name is the tag of LearningRateMonitor, which otherwise depends on the class of the optimizer.
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step", "name": "lr"},
        }

    def _length(self) -> tuple[int, int]:
        """Return the number of optimizer steps in an epoch, and of epochs in the run."""
        self.trainer.fit_loop.setup_data()  # the number of batches is unknown before
        steps = self.trainer.estimated_stepping_batches
        if math.isinf(steps):
            raise ConfigError(
                "max_epochs=-1: a schedule needs an end; give the Trainer max_epochs or max_steps"
            )
        batches = self.trainer.num_training_batches / self.trainer.accumulate_grad_batches
        steps_per_epoch = max(1, math.ceil(batches))
        return steps_per_epoch, max(1, math.ceil(steps / steps_per_epoch))

    def on_train_start(self) -> None:
        """Seed the generators of dropout and loss, or restore them.

        Raises:
            RunError: the training that is resumed ran on another type of device, which draws other random numbers.
        """
        self._random = RandomState(self, self.seed)
        self._random.restore(self._resumed)
        if "batches" in self._resumed and (batches := self._train_batches()):
            # Lightning restores only loaders that were created after it read the checkpoint.
            batches.load_state_dict(self._resumed["batches"])
        self._resumed = {}
        self.evaluation.snapshots = [scorer.to(self.device) for scorer in self.evaluation.snapshots]
        self.has_started = True
        if self.compiled:
            self._compile()
        self._captured = make_captured_step(self) if self.cuda_graph else None

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor | None:
        """Return the loss of a batch plus its penalty; None if a captured step has done all work."""
        self._epoch_loss.count += len(batch.ratings)
        if self._captured is not None:
            self._captured(batch)
            return None
        loss, penalty = self.losses(batch)
        check_loss(self.loss, loss)
        self.add_loss(loss, batch)
        return loss + penalty

    def add_loss(self, loss: Tensor, batch: Batch) -> None:
        """Add the loss of a batch to the mean of the epoch."""
        self._epoch_loss.add(loss, len(batch.ratings))

    def losses(self, batch: Batch) -> tuple[Tensor, Tensor | float]:
        """Return the loss of a batch and its penalty, as scalars."""
        return self.loss(self.network, batch, self.generator), self.loss.penalty(self.network, batch)

    def _compile(self) -> None:
        """Compile `losses`, which fuses small kernels; weights and checkpoints keep their names.

        Each shape is compiled once: full batches, and the last batch of an epoch.
        """
        self.losses = torch.compile(self.losses, dynamic=False)  # type: ignore[method-assign]

    def on_train_epoch_end(self) -> None:
        """Log the mean loss of the epoch."""
        loss = self._epoch_loss.mean()
        self._check_finite({"train/loss": loss})
        self.log("train/loss", loss, sync_dist=True)
        every = self.trainer.check_val_every_n_epoch or 1
        if self.trainer.limit_val_batches == 0 or (self.current_epoch + 1) % every:
            self.evaluation.start(self.device)  # without validation, for snapshots and checkpoints

    def on_validation_epoch_start(self) -> None:
        """Make the scorer that is evaluated, and saved in this epoch."""
        self.evaluation.start(self.device)

    on_test_epoch_start = on_predict_epoch_start = on_validation_epoch_start

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add up the errors of a batch."""
        self.evaluation.add(batch, batch_idx if self._is_validation_fixed() else None)

    def on_validation_epoch_end(self) -> None:
        """Log val/rmse and val/mae over the ratings of all processes, or val/ndcg@k, val/recall@k and the objective."""
        metrics = self.evaluation.curves(getattr(self.trainer, "datamodule", None))
        self._check_finite(metrics)
        if (objective := self.evaluation.objective) is not None and objective.name not in metrics:
            raise TrainingError(
                f"{objective.name} is not a finite number in epoch {self.current_epoch}, so it cannot select weights; "
                "choose another objective"
            )
        self.log_dict(metrics, prog_bar=True)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Add up the errors of a batch."""
        self.evaluation.add(batch)

    def on_test_epoch_end(self) -> None:
        """Log the metrics of the test set."""
        self.log_dict(self.evaluation.metrics("test", getattr(self.trainer, "datamodule", None)))

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return predictions (B,): ratings clipped to the scale, or scores if the loss ranks."""
        return self.evaluation.outcome.predict(batch.users, batch.items)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what a resumed run needs to continue exactly (generators of all processes, the epoch's loss), and
        what rebuilds the network and its scorers: snapshots, then the scorer as it was measured last."""
        if self._random is not None:
            checkpoint.update(self._random.save(self))
        if batches := self._train_batches():
            # With trainer.limit_train_batches, an epoch ends before the loader does.
            ready = batches.state_dict()["batches"] % int(self.trainer.num_training_batches)
            checkpoint["batches"] = {"batches": ready}
        checkpoint["epoch_loss"] = self._epoch_loss.state()
        undo_changes(checkpoint)
        evaluation = self.evaluation
        checkpoint["network"] = describe_network(self.network)
        checkpoint["scorers"] = [scorer.state_dict() for scorer in (*evaluation.snapshots, evaluation.scorer)]
        checkpoint["predicts_ratings"] = self.loss.predicts_ratings

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore what `on_save_checkpoint` added.

        Raises:
            ConfigError: the loss of the checkpoint trains ratings and that of this module does not, or vice versa.
        """
        trained, expected = checkpoint.get("predicts_ratings"), self.loss.predicts_ratings
        if trained is not None and trained != expected:
            raise ConfigError(
                f"loss={type(self.loss).__name__}: the checkpoint was trained with a "
                f"{'rating' if trained else 'ranking'} loss; pass loss=..., the loss that it was trained with"
            )
        kept = ("generators", "device", "batches")
        self._resumed = {key: checkpoint[key] for key in kept if key in checkpoint}
        if "epoch_loss" in checkpoint:
            self._epoch_loss.restore(checkpoint["epoch_loss"], self.device)
        self.evaluation.snapshots = scorers_from_checkpoint(checkpoint, self.network, expected)[:-1]

    def make_optimizer(self, parameters: list[Parameter]) -> Optimizer:
        """Return a new optimizer of parameters, with the learning rate of the module."""
        return self.optimizer(parameters, lr=self.lr)

    def _train_batches(self) -> Batches | None:
        loader = self.trainer.train_dataloader
        return loader if isinstance(loader, Batches) else None

    def _is_validation_fixed(self) -> bool:
        """Return whether every validation has the same batches in the same order."""
        loader = self.trainer.val_dataloaders
        return isinstance(loader, Batches) and loader.sampler is None

    def _check_finite(self, values: dict[str, float]) -> None:
        for name, value in values.items():
            if not math.isfinite(value):
                lr = self.trainer.optimizers[0].param_groups[0]["lr"] if self.trainer.optimizers else math.nan
                raise TrainingError(
                    f"{name} is {value} in epoch {self.current_epoch} (step {self.global_step}, learning rate "
                    f"{lr:.3g}): try a smaller optimizer.lr, or gradient_clip=1"
                )
