"""A training step as one CUDA graph: a single launch runs forward pass, loss, penalty, backward pass and optimizer.

A step of a small network runs about a hundred kernels that take a few microseconds each. Launching them takes the CPU
longer than the GPU needs to run them.
"""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from recsys.data.batches import Batch, Batches
from recsys.errors import first_line

if TYPE_CHECKING:
    from recsys.training.module import RatingModule

log = logging.getLogger(__name__)

# Full batches before the capture. torch requires some, because libraries allocate their workspaces in the first steps.
WARM_UP_STEPS = 3
STEP_HOOKS = ("on_before_zero_grad", "on_before_backward", "on_after_backward", "on_before_optimizer_step")


class CapturedStep:
    """A training step as a CUDA graph; it is called once per batch.

    The first `WARM_UP_STEPS` full batches and any shorter batch run kernel by kernel. Then the step is captured; each
    further full batch is copied into the inputs of the graph, and the graph is launched. If the capture fails, or if a
    setting of the optimizer other than lr changes, all further steps run kernel by kernel.

    Args:
        module: the module that is being trained, on a CUDA GPU.
        batch_size: number of ratings in each batch; the last one of an epoch may have fewer.
    """

    def __init__(self, module: "RatingModule", batch_size: int) -> None:
        self.module, self.batch_size = module, batch_size
        self.optimizer = module.trainer.optimizers[0]
        self._inputs: Batch | None = None
        self._launch: Callable[[], None] | None = None
        self._steps = 0
        self._settings: list[dict[str, Any]] | None = (
            None  # at the time of the capture; None: there is no graph
        )
        # A graph can read learning rates and step counts only from tensors on the device.
        self._lr_tensors = [
            torch.tensor(float(group["lr"]), device=module.device) for group in self.optimizer.param_groups
        ]
        for group in self.optimizer.param_groups:
            if "capturable" in group:
                group["capturable"] = True

    def __call__(self, batch: Batch) -> None:
        """Train on a batch."""
        self._update_learning_rates()
        if len(batch.ratings) != self.batch_size:
            self._step(batch)
            return
        if self._inputs is None:
            self._inputs = Batch(*(torch.empty_like(column) for column in batch))
        for column, source in zip(self._inputs, batch, strict=True):
            column.copy_(source)
        self._steps += 1
        if self._steps <= WARM_UP_STEPS:
            self._warm_up()
            return
        if self._launch is None:
            try:
                self._launch, self._settings = self._capture(), self._optimizer_settings()
            except RuntimeError as error:  # for example, the network copies a value to the CPU
                log.warning(
                    "hardware.cuda_graph has no effect: a step cannot be captured (%s)", first_line(error)
                )
                self._launch = self._step_on_inputs
        elif self._settings is not None and self._settings != self._optimizer_settings():
            log.warning(
                "hardware.cuda_graph has no effect from here on: a setting of the optimizer other than lr changed"
            )
            self._launch, self._settings = self._step_on_inputs, None
        self._launch()

    def _update_learning_rates(self) -> None:
        """Copy changed learning rates into the tensors that the graph reads, and put these into the groups."""
        for tensor, group in zip(self._lr_tensors, self.optimizer.param_groups, strict=True):
            if group["lr"] is not tensor:
                tensor.fill_(group["lr"])
                group["lr"] = tensor

    def _optimizer_settings(self) -> list[dict[str, Any]]:
        """Return the settings of each parameter group except lr; a graph uses the values at its capture."""
        return [
            {name: value for name, value in group.items() if name not in ("params", "lr")}
            for group in self.optimizer.param_groups
        ]

    def _step_on_inputs(self) -> None:
        assert self._inputs is not None
        self._step(self._inputs)

    def _step(self, batch: Batch) -> None:
        loss, penalty = self.module.losses(batch)
        self.module.add_loss(loss, batch)
        (loss + penalty).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def _warm_up(self) -> None:
        """Run a step on the inputs on another stream, as torch requires before a capture."""
        assert self._inputs is not None
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self._step(self._inputs)
        torch.cuda.current_stream().wait_stream(stream)

    def _capture(self) -> Callable[[], None]:
        """Capture a step on the inputs, and return the function that runs it."""
        assert self._inputs is not None
        graph = torch.cuda.CUDAGraph()
        # torch registers the default generator, which dropout uses, but not that of the loss.
        if (generator := self.module.generator) is not None:
            graph.register_generator_state(generator)
        with torch.cuda.graph(graph):
            self._step(self._inputs)
        return graph.replay


def make_captured_step(module: "RatingModule") -> CapturedStep | None:
    """Return a `CapturedStep`; None if the device is not a CUDA GPU, or a step cannot be captured, which is logged."""
    if module.device.type != "cuda":
        return None
    if reason := obstacle(module):
        log.info("hardware.cuda_graph has no effect: %s", reason)
        return None
    loader = module.trainer.train_dataloader
    assert isinstance(loader, Batches)
    return CapturedStep(module, loader.batch_size)


def undo_changes(checkpoint: dict[str, Any]) -> None:
    """Undo, in a checkpoint, what `CapturedStep` changes in the states of optimizer and schedule."""
    for state in checkpoint.get("optimizer_states", ()):
        for group in state["param_groups"]:
            if isinstance(group["lr"], Tensor):
                group["lr"] = float(group["lr"])
                if "capturable" in group:
                    group["capturable"] = False
    for state in checkpoint.get("lr_schedulers", ()):
        if "_last_lr" in state:
            state["_last_lr"] = [float(rate) for rate in state["_last_lr"]]


def obstacle(module: "RatingModule") -> str | None:
    """Return why the step of a module on a CUDA GPU cannot be captured; None if it can."""
    trainer = module.trainer
    hooked = [type(one).__name__ for one in trainer.callbacks if _uses_gradients(one)]  # type: ignore[attr-defined]
    obstacles = {
        "the batches do not come from recsys.data.batches.Batches": not isinstance(
            trainer.train_dataloader, Batches
        ),
        "training uses several processes": trainer.world_size > 1,
        "with hardware.precision=16-mixed, the CPU checks the gradients of each step": trainer.precision
        == "16-mixed",
        "gradient_clip is not part of the graph": bool(trainer.gradient_clip_val),
        "gradients of several batches are accumulated": trainer.accumulate_grad_batches > 1,
        "trainer.detect_anomaly checks each gradient on the CPU": torch.is_anomaly_enabled(),
        f"callbacks have hooks within a step ({', '.join(hooked)})": bool(hooked),
        "the sizes of sparse gradients vary (optimizer=sparse-adam)": module.has_sparse_gradients,
        "the optimizer reads its learning rate on the CPU (use adam or adamw)": not any(
            group.get("fused") or "capturable" in group for group in trainer.optimizers[0].param_groups
        ),
        "the network's operations may differ between batches (is_static is False)": not module.network.is_static,
        "the loss's operations may differ between batches (is_static is False)": not module.loss.is_static,
    }
    return next((reason for reason, applies in obstacles.items() if applies), None)


def _uses_gradients(callback: Callback) -> bool:
    """Return whether a callback has a hook within a step, where a CUDA graph cannot call it."""
    return any(getattr(type(callback), hook) is not getattr(Callback, hook) for hook in STEP_HOOKS)
