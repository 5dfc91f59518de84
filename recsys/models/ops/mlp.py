"""A stack of linear layers, trained on a CPU in pieces: a batch's rows go through all layers, a core each."""

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from recsys.models.ops.dropout import Dropout, kept, random_bytes

ROWS = 1000  # of a piece, at most; the same on every machine, so that sums have one order


class MLP(nn.Sequential):
    """Dropout -> [Linear, ReLU, dropout] x depth -> Linear: (B, width_in) to (B, 1).

    While training on a CPU, gradients are computed here and not by autograd, to the same values up to
    rounding. Cores that share one operation after the other meet after each of them, and waking them takes as
    long as a ReLU; here each has rows of its own and they meet twice a step. The factors of the dropouts go
    into the small weights instead of the large activations.

    Args:
        width_in: of what comes in.
        hidden: widths of the layers; a number is one layer, an empty list none.
        dropouts: dropout after each layer; a list's last value repeats for the layers beyond it.
        first: dropout on what comes in.
    """

    def __init__(
        self, width_in: int, hidden: int | Sequence[int], dropouts: float | Sequence[float], first: float
    ) -> None:
        widths = [hidden] if isinstance(hidden, int) else list(hidden)
        rates = list(dropouts) if isinstance(dropouts, Sequence) else [dropouts]
        layers: list[nn.Module] = [Dropout(first)]
        for depth, width in enumerate(widths):
            layers += [nn.Linear(width_in, width), nn.ReLU(), Dropout(rates[min(depth, len(rates) - 1)])]
            width_in = width
        super().__init__(*layers, nn.Linear(width_in, 1))
        self.cores = 1  # that train it

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (B, 1) of rows (B, width_in)."""
        if not self.training or x.device.type != "cpu" or torch.compiler.is_compiling():
            return super().forward(x)
        dropouts = [module for module in self if isinstance(module, Dropout)]
        linear = [module for module in self if isinstance(module, nn.Linear)]
        parameters = [parameter for module in linear for parameter in (module.weight, module.bias)]
        return _Training.apply(x, dropouts, self.cores, *parameters)


class _Piece(NamedTuple):
    """What is kept of R rows that have gone through the layers."""

    first_kept: Tensor | None  # 1 where the first dropout kept a value, else 0
    inputs: Sequence[Tensor]  # of each linear layer, (R, width)


class _Training(torch.autograd.Function):
    """Outputs of a stack with dropout, and the gradients of its input and its parameters."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, dropouts: list[Dropout], cores: int, *parameters: Tensor) -> Tensor:
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else parameters[0].dtype
        scales = [dropout.scale for dropout in dropouts]
        weights = [(weight * scale).to(dtype) for weight, scale in zip(parameters[::2], scales, strict=True)]
        biases = [bias.to(dtype) for bias in parameters[1::2]]
        pieces = x.chunk(max(1, -(-len(x) // ROWS)))
        # Drawn for the whole batch, a layer after the other: masks depend neither on pieces nor on cores.
        drawn = [
            random_bytes(torch.Size((len(x), weight.shape[1]))).chunk(len(pieces))
            if dropout.threshold
            else [None] * len(pieces)
            for dropout, weight in zip(dropouts, weights, strict=True)
        ]
        thresholds = [dropout.threshold for dropout in dropouts]

        def ahead(rows: Tensor, *bytes_: Tensor | None) -> tuple[_Piece, Tensor]:
            return _ahead(rows, bytes_, thresholds, weights, biases)

        done, outputs = zip(*_on_cores(cores, ahead, pieces, *drawn), strict=True)
        ctx.cores, ctx.weights, ctx.scales = cores, weights, scales
        ctx.save_for_backward(*(tensor for piece in done for tensor in (piece.first_kept, *piece.inputs)))
        return torch.cat(outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        def back(rows: Tensor, piece: _Piece) -> list[Tensor]:
            return _back(rows, piece, ctx.weights, ctx.scales)

        saved, each = ctx.saved_tensors, 1 + len(ctx.weights)
        pieces = [_Piece(saved[i], saved[i + 1 : i + each]) for i in range(0, len(saved), each)]
        parts = _on_cores(ctx.cores, back, gradient.chunk(len(pieces)), pieces)
        of_input, *of_parameters = zip(*parts, strict=True)
        return torch.cat(of_input), None, None, *(sum(of_one[1:], of_one[0]) for of_one in of_parameters)


@torch.no_grad()
def _ahead(
    rows: Tensor,
    drawn: Sequence[Tensor | None],
    thresholds: list[int],
    weights: list[Tensor],
    biases: list[Tensor],
) -> tuple[_Piece, Tensor]:
    """Rows through all layers; `weights` carry the factors of the dropouts before them."""
    values, inputs, first_kept = rows.to(weights[0].dtype), list[Tensor](), None
    for layer, (bytes_, threshold, weight, bias) in enumerate(
        zip(drawn, thresholds, weights, biases, strict=True)
    ):
        if layer:
            values.clamp_min_(0)
        if bytes_ is not None:
            mask = kept(bytes_, threshold, values)
            if layer:
                values.mul_(mask)
            else:
                values, first_kept = values * mask, mask
        inputs.append(values)
        values = torch.addmm(bias, values, weight.T)
    return _Piece(first_kept, inputs), values


@torch.no_grad()
def _back(gradient: Tensor, piece: _Piece, weights: list[Tensor], scales: list[float]) -> list[Tensor]:
    """Gradients of a piece's input, and of all weights and biases, summed over its rows; float32 or wider."""
    dtype = torch.promote_types(gradient.dtype, torch.float32)
    of_parameters = list[Tensor]()
    for layer in reversed(range(len(weights))):
        values = piece.inputs[layer]
        of_weight = (gradient.T @ values).to(dtype).mul_(scales[layer])
        of_parameters += [gradient.sum(0).to(dtype), of_weight]
        gradient = gradient @ weights[layer]
        if layer:  # what ReLU or dropout made zero has no gradient
            gradient = torch.ops.aten.threshold_backward(gradient, values, 0)
        elif piece.first_kept is not None:
            gradient = gradient * piece.first_kept
    return [gradient.to(dtype), *reversed(of_parameters)]


def _on_cores(cores: int, function: Callable, *columns: Iterable) -> list[Any]:
    """`function` of the first values, the second and so on; on `cores` cores."""
    tasks = list(zip(*columns, strict=True))
    if cores == 1 or len(tasks) == 1:
        return [function(*task) for task in tasks]
    return list(_pool(cores).map(lambda task: function(*task), tasks))


@cache
def _pool(cores: int) -> ThreadPoolExecutor:
    """Threads whose operations do not share their work with further ones."""
    return ThreadPoolExecutor(cores, "layers", lambda: torch.set_num_threads(1))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not come along
