"""Multilayer perceptron whose training step on a CPU is split by rows over the cores."""

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from recsys.models.ops.dropout import Dropout, keep_mask, random_bytes

MAX_CHUNK_ROWS = 1000  # the same on every machine, because it decides the order in which gradients are summed


class MLP(nn.Sequential):
    """Dropout -> [Linear, ReLU, Dropout] x depth -> Linear: (B, in_features) to (B, 1).

    The reference in plain torch is `nn.Sequential.forward`, which is used everywhere except for training on a
    CPU. There, chunks of rows go through all layers, one chunk per core, and the backward pass is written by
    hand; results equal the reference up to rounding. If threads share one operation after the other instead,
    they wait for each other after each of them, and waking a thread takes as long as a ReLU of this size;
    chunks wait twice per step. The scale of a dropout multiplies the small weight matrix that follows instead of
    the large activations.

    Measured on two cores, milliseconds per training step of the default network with batches of 2,000, here and
    with the same chunks through autograd: hidden [100, 200, 300] 19.8 and 24.6, in bfloat16 171 and 237; hidden
    [500, 500, 500] 103 and 135.

    Args:
        in_features: width of the input.
        hidden: widths of the hidden layers; a number is one layer, an empty list none.
        dropouts: dropout rate after each hidden layer; the last value of a list applies to further layers.
        input_dropout: dropout rate of the input.
    """

    def __init__(
        self,
        in_features: int,
        hidden: int | Sequence[int],
        dropouts: float | Sequence[float],
        input_dropout: float,
    ) -> None:
        widths = [hidden] if isinstance(hidden, int) else list(hidden)
        rates = list(dropouts) if isinstance(dropouts, Sequence) else [dropouts]
        layers: list[nn.Module] = [Dropout(input_dropout)]
        for depth, width in enumerate(widths):
            layers += [nn.Linear(in_features, width), nn.ReLU(), Dropout(rates[min(depth, len(rates) - 1)])]
            in_features = width
        super().__init__(*layers, nn.Linear(in_features, 1))
        self.num_threads = 1  # for training; set by recsys.training.callbacks.threads

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs (B, 1) of inputs (B, in_features)."""
        if not self.training or x.device.type != "cpu" or torch.compiler.is_compiling():
            return super().forward(x)
        dropouts = [module for module in self if isinstance(module, Dropout)]
        linears = [module for module in self if isinstance(module, nn.Linear)]
        parameters = [parameter for linear in linears for parameter in (linear.weight, linear.bias)]
        return _TrainingStep.apply(x, dropouts, self.num_threads, *parameters)


class _Chunk(NamedTuple):
    """What the backward pass needs of R rows."""

    input_mask: Tensor | None  # 1 where the input dropout kept a value, else 0
    inputs: Sequence[Tensor]  # of each linear layer, (R, width)


class _TrainingStep(torch.autograd.Function):
    """Outputs of an MLP with dropout, and the gradients of its input and its parameters."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, dropouts: list[Dropout], num_threads: int, *parameters: Tensor
    ) -> Tensor:
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else parameters[0].dtype
        scales = [dropout.scale for dropout in dropouts]
        weights = [(weight * scale).to(dtype) for weight, scale in zip(parameters[::2], scales, strict=True)]
        biases = [bias.to(dtype) for bias in parameters[1::2]]
        rows = x.chunk(max(1, -(-len(x) // MAX_CHUNK_ROWS)))
        # Masks are drawn for the whole batch, layer by layer, so that they depend on neither chunks nor threads.
        drawn = [
            random_bytes(torch.Size((len(x), weight.shape[1]))).chunk(len(rows))
            if dropout.threshold
            else [None] * len(rows)
            for dropout, weight in zip(dropouts, weights, strict=True)
        ]
        thresholds = [dropout.threshold for dropout in dropouts]

        def forward_chunk(values: Tensor, *bytes_: Tensor | None) -> tuple[_Chunk, Tensor]:
            return _forward(values, bytes_, thresholds, weights, biases)

        chunks, outputs = zip(*_in_threads(num_threads, forward_chunk, rows, *drawn), strict=True)
        ctx.num_threads, ctx.weights, ctx.scales = num_threads, weights, scales
        ctx.save_for_backward(*(tensor for chunk in chunks for tensor in (chunk.input_mask, *chunk.inputs)))
        return torch.cat(outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        def backward_chunk(rows: Tensor, chunk: _Chunk) -> list[Tensor]:
            return _backward(rows, chunk, ctx.weights, ctx.scales)

        saved, per_chunk = ctx.saved_tensors, 1 + len(ctx.weights)
        chunks = [_Chunk(saved[i], saved[i + 1 : i + per_chunk]) for i in range(0, len(saved), per_chunk)]
        gradients = _in_threads(ctx.num_threads, backward_chunk, gradient.chunk(len(chunks)), chunks)
        inputs, *parameters = zip(*gradients, strict=True)
        return torch.cat(inputs), None, None, *(sum(parts[1:], parts[0]) for parts in parameters)


@torch.no_grad()
def _forward(
    values: Tensor,
    drawn: Sequence[Tensor | None],
    thresholds: list[int],
    weights: list[Tensor],
    biases: list[Tensor],
) -> tuple[_Chunk, Tensor]:
    """Return the outputs of a chunk of rows; `weights` include the scales of the dropouts before them."""
    values, inputs, input_mask = values.to(weights[0].dtype), list[Tensor](), None
    for layer, (bytes_, threshold, weight, bias) in enumerate(
        zip(drawn, thresholds, weights, biases, strict=True)
    ):
        if layer:
            values.clamp_min_(0)
        if bytes_ is not None:
            mask = keep_mask(bytes_, threshold, values)
            if layer:
                values.mul_(mask)
            else:
                values, input_mask = values * mask, mask
        inputs.append(values)
        values = torch.addmm(bias, values, weight.T)
    return _Chunk(input_mask, inputs), values


@torch.no_grad()
def _backward(gradient: Tensor, chunk: _Chunk, weights: list[Tensor], scales: list[float]) -> list[Tensor]:
    """Return the gradients of a chunk's input, and of all weights and biases summed over its rows."""
    dtype = torch.promote_types(gradient.dtype, torch.float32)
    parameters = list[Tensor]()
    for layer in reversed(range(len(weights))):
        values = chunk.inputs[layer]
        weight_gradient = (gradient.T @ values).to(dtype).mul_(scales[layer])
        parameters += [gradient.sum(0).to(dtype), weight_gradient]
        gradient = gradient @ weights[layer]
        if layer:  # values are 0 where ReLU or dropout cut them off, else positive
            gradient.mul_(values.sign())
        elif chunk.input_mask is not None:
            gradient = gradient * chunk.input_mask
    return [gradient.to(dtype), *reversed(parameters)]


def _in_threads(num_threads: int, function: Callable, *columns: Iterable) -> list[Any]:
    """Return the results of `function` for the first values, the second ones and so on."""
    tasks = list(zip(*columns, strict=True))
    if num_threads == 1 or len(tasks) == 1:
        return [function(*task) for task in tasks]
    return list(_thread_pool(num_threads).map(lambda task: function(*task), tasks))


@cache
def _thread_pool(num_threads: int) -> ThreadPoolExecutor:
    """Return threads whose torch operations use one thread each."""
    return ThreadPoolExecutor(num_threads, "mlp", lambda: torch.set_num_threads(1))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_thread_pool.cache_clear)  # a forked process has no threads
