"""A training step as one CUDA graph: forward pass, loss, penalty, backward pass and optimizer are one launch.

A step of a small network is a hundred kernels of a few microseconds, and starting them one by one takes a CPU longer
than running them takes a GPU.
"""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from recsys.data.batches import Batch, Batches

if TYPE_CHECKING:
    from recsys.training.module import RatingModule

log = logging.getLogger(__name__)

WARM_UP_STEPS = (
    3  # before the capture, as torch asks for: libraries allocate their workspaces in the first steps
)


class CapturedStep:
    """Trains a module, one call per batch.

    The first steps, and the last batch of an epoch if it is shorter, are launched kernel by kernel. Every other batch
    is copied to where the graph reads it, and the graph is launched.

    Args:
        module: while it is trained, on a CUDA GPU.
        batch_size: number of ratings of all batches but the last one.
    """

    def __init__(self, module: "RatingModule", batch_size: int) -> None:
        self.module, self.batch_size = module, batch_size
        self.optimizer = module.trainer.optimizers[0]
        self._inputs: Batch | None = None
        self._launch: Callable[[], None] | None = None
        self._steps = 0
        for group in self.optimizer.param_groups:
            # The graph reads the learning rate where the schedule writes it, and counts steps on the device.
            group["lr"] = torch.tensor(float(group["lr"]), device=module.device)
            if "capturable" in group:
                group["capturable"] = True

    def __call__(self, batch: Batch) -> None:
        """Train on a batch."""
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
            self._launch = self._capture()
        self._launch()

    def _step(self, batch: Batch) -> None:
        loss, penalty = self.module.losses(batch)
        self.module.add_loss(loss, batch)
        (loss + penalty).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def _warm_up(self) -> None:
        """Train on the inputs on another stream, as torch requires before a capture."""
        assert self._inputs is not None
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self._step(self._inputs)
        torch.cuda.current_stream().wait_stream(stream)

    def _capture(self) -> Callable[[], None]:
        """Return a function that repeats a step on the inputs."""
        assert self._inputs is not None
        graph = torch.cuda.CUDAGraph()
        if (generator := self.module.generator) is not None:  # that of dropout is registered by torch
            graph.register_generator_state(generator)
        with torch.cuda.graph(graph):
            self._step(self._inputs)
        return graph.replay


def captured_step(module: "RatingModule") -> CapturedStep | None:
    """Return the step of a module as a CUDA graph; None, with a log line, if that is not possible."""
    if obstacle := _obstacle(module):
        log.warning("hardware.cuda_graph=true has no effect: %s", obstacle)
        return None
    loader = module.trainer.train_dataloader
    assert isinstance(loader, Batches)
    return CapturedStep(module, loader.batch_size)


def plain_optimizer_state(state: dict) -> None:
    """Turn what `CapturedStep` changes in the groups of an optimizer's state back into what it was, in place."""
    for group in state["param_groups"]:
        if isinstance(group["lr"], Tensor):
            group["lr"] = float(group["lr"])
            if "capturable" in group:
                group["capturable"] = False


def _obstacle(module: "RatingModule") -> str | None:
    """Return why a step of a module cannot be captured."""
    trainer = module.trainer
    obstacles = {
        f"it needs a CUDA GPU, this is {module.device.type}": module.device.type != "cuda",
        "its batches come from a loader of another package": not isinstance(
            trainer.train_dataloader, Batches
        ),
        "it needs a single process": trainer.world_size > 1,
        "float16 decides after each step whether it was valid (hardware.precision)": trainer.precision
        == "16-mixed",
        "gradient_clip is not part of the graph": bool(trainer.gradient_clip_val),
        "gradients of several batches are accumulated": trainer.accumulate_grad_batches > 1,
        "the sizes of sparse gradients vary (optimizer=sparse-adam)": module.has_sparse_gradients,
        "hardware.compile=true captures graphs of its own": module.compiled,
        "the rating histories do not fit into a matrix, so the sizes of their sums vary": not module.network.is_static,
    }
    return next((reason for reason, applies in obstacles.items() if applies), None)
