"""Linear layers in 8 bits on a CPU: fast, approximate outputs for finding candidates."""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor, nn

from recsys.errors import ConfigError

HEADROOM = 1.2  # largest value that can be represented, relative to the largest of the sample
MAX_UINT8 = 255
MAX_INT8 = 127


class _PackedLinear(NamedTuple):
    """A linear layer in oneDNN's format: int8 weights with one scale per output."""

    weight: Tensor
    scales: Tensor
    zero_points: Tensor
    bias: Tensor


class Int8MLP:
    """[ReLU, Linear] x depth: values before the first ReLU, (..., width), to float32 (..., 1).

    Activations are uint8 with one scale per layer, so that oneDNN computes a layer's product, bias, ReLU and
    rounding in one operation. Dropout is ignored. The input of a call is the sum of two parts, each of them
    the result of `quantise`.

    Measured on a core with VNNI (docs/performance.md): 390 billion operations per second, where products of float32
    reach 104 billion.

    Args:
        layers: the layers of an MLP after its first linear layer.
        sample: float32 (n, width), typical inputs by which the scales are chosen.

    Raises:
        ConfigError: the processor has no VNNI instructions.
    """

    def __init__(self, layers: Sequence[nn.Module], sample: Tensor) -> None:
        if sample.device.type != "cpu" or not int8_supported():
            raise ConfigError("candidates=int8: needs a CPU with VNNI instructions; candidates=bf16 works")
        linears = [layer for layer in layers if isinstance(layer, nn.Linear)]
        self.layers = [_pack(layer.weight, layer.bias) for layer in linears]
        self.scales = list[float]()  # of the inputs of each layer
        for layer in linears:
            sample = sample.relu()
            self.scales.append(HEADROOM * max(sample.max().item(), 1e-12) / MAX_UINT8)
            sample = layer(sample)

    def quantise(self, part: Tensor) -> Tensor:
        """Return a part of the inputs as int16 multiples of the first scale; two parts cannot overflow."""
        return (part / self.scales[0]).round_().clamp_(-(2**14), 2**14 - 1).to(torch.int16)

    def __call__(self, values: Tensor) -> Tensor:
        """Return the outputs; `values` are overwritten."""
        shape = values.shape[:-1]
        values = values.clamp_(0, MAX_UINT8).to(torch.uint8).view(-1, values.shape[-1])
        output_scales = [*self.scales[1:], None]
        for layer, input_scale, output_scale in zip(self.layers, self.scales, output_scales, strict=True):
            values = _linear(values, input_scale, layer, output_scale)
        return values.view(*shape, 1)


@cache
def int8_supported() -> bool:
    """Return whether this CPU computes products of bytes exactly.

    Without VNNI instructions, oneDNN adds pairs of products in 16 bits, where large values saturate.
    """
    outputs, width = 16, 64
    weight = torch.ones(outputs, width)
    values = torch.full((1, width), MAX_UINT8, dtype=torch.uint8)
    try:
        found = _linear(values, 1.0, _pack(weight, torch.zeros(outputs)), None)
    except (AttributeError, RuntimeError):  # built without oneDNN, or no kernel for this processor
        return False
    return torch.allclose(found, torch.full_like(found, MAX_UINT8 * width))


def _pack(weight: Tensor, bias: Tensor) -> _PackedLinear:
    scales = weight.abs().amax(1).clamp_min(1e-12) / MAX_INT8
    quantised = (weight / scales[:, None]).round().to(torch.int8)
    # Private: torch has no public linear layer on uint8 activations (torch.ao.quantization is deprecated).
    packed = torch.ops.onednn.qlinear_prepack(quantised, None)
    return _PackedLinear(packed, scales, torch.zeros(len(scales), dtype=torch.int64), bias)


def _linear(values: Tensor, input_scale: float, layer: _PackedLinear, output_scale: float | None) -> Tensor:
    """Return uint8 outputs of the layer and a ReLU, or float32 outputs without ReLU if there is no scale."""
    is_last = output_scale is None
    return torch.ops.onednn.qlinear_pointwise(  # private, see _pack
        values,
        input_scale,
        0,
        layer.weight,
        layer.scales,
        layer.zero_points,
        layer.bias,
        1.0 if is_last else output_scale,
        0,
        torch.float32 if is_last else torch.uint8,
        "none" if is_last else "relu",
        [],
        "",
    )
