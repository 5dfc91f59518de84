"""Layers in 8 bits on a CPU: fast and coarse outputs, for finding candidates."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from recsys.errors import ConfigError

HEADROOM = 1.2  # of what values reach in a sample; what is larger still counts as this much
LARGEST = 255  # of an unsigned byte


class _Linear(NamedTuple):
    """A linear layer as oneDNN wants it: weights in a signed byte each, with a factor for each output."""

    weight: Tensor
    factors: Tensor
    zeros: Tensor
    bias: Tensor


class Int8MLP:
    """[ReLU, linear] x depth: values before the first ReLU, (..., width), to float32 (..., 1).

    Values between layers are unsigned bytes times a factor for each layer, so that a layer's ReLU, its factor
    and its rounding come with its product (oneDNN's qlinear). Dropout is off. What is put in is the sum of
    two parts that have been through `in_steps`.

    Args:
        layers: what stands above a stack's first linear layer.
        sample: some float32 values (n, width), by which the factors are chosen.

    Raises:
        ConfigError: the processor has no such products.
    """

    def __init__(self, layers: Sequence[nn.Module], sample: Tensor) -> None:
        if sample.device.type != "cpu" or not torch.cpu._is_vnni_supported():
            raise ConfigError(
                "candidates=int8: needs a CPU with products of bytes (VNNI); candidates=bf16 works"
            )
        linear = [layer for layer in layers if isinstance(layer, nn.Linear)]
        self.layers = [_pack(layer) for layer in linear]
        self.factors = list[float]()  # of the values that go into each layer
        for layer in linear:
            sample = sample.relu()
            self.factors.append(HEADROOM * max(sample.max().item(), 1e-12) / LARGEST)
            sample = layer(sample)

    def in_steps(self, part: Tensor) -> Tensor:
        """A part of the values as int16 multiples of the first factor; two of them never overflow."""
        return (part / self.factors[0]).round_().clamp_(-(2**14), 2**14 - 1).to(torch.int16)

    def __call__(self, values: Tensor) -> Tensor:
        """Outputs; `values` are overwritten."""
        shape = values.shape[:-1]
        values = values.clamp_(0, LARGEST).to(torch.uint8).view(-1, values.shape[-1])
        of_next = [*self.factors[1:], None]
        for layer, of_inputs, of_outputs in zip(self.layers, self.factors, of_next, strict=True):
            is_last = of_outputs is None
            values = torch.ops.onednn.qlinear_pointwise(
                values,
                of_inputs,
                0,
                layer.weight,
                layer.factors,
                layer.zeros,
                layer.bias,
                1.0 if is_last else of_outputs,
                0,
                torch.float32 if is_last else torch.uint8,
                "none" if is_last else "relu",
                [],
                "",
            )
        return values.view(*shape, 1)


def _pack(layer: nn.Linear) -> _Linear:
    factors = layer.weight.abs().amax(1).clamp_min(1e-12) / 127
    weight = (layer.weight / factors[:, None]).round().to(torch.int8)
    packed = torch.ops.onednn.qlinear_prepack(weight, None)
    return _Linear(packed, factors, torch.zeros(len(factors), dtype=torch.int64), layer.bias)
