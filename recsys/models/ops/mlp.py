"""Multilayer perceptron with dropout."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from recsys.models.ops.dropout import Dropout, keep_mask, random_bytes

MAX_CHUNK_ROWS = 1000  # fixed, because it decides the order in which gradients are summed


class MLP(nn.Sequential):
    """Dropout -> [Linear, ReLU, Dropout] x depth -> Linear: (B, in_features) to (B, 1).

    On a CPU, training equals `nn.Sequential` up to rounding. The scale of a dropout multiplies the small
    weight matrix that follows instead of the large activations, and the layers process the batch in chunks of
    at most `MAX_CHUNK_ROWS` rows. Published results depend on this order of operations.

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

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs (B, 1) of inputs (B, in_features)."""
        if not self.training or x.device.type != "cpu" or torch.compiler.is_compiling():
            return super().forward(x)
        dropouts = [module for module in self if isinstance(module, Dropout)]
        linears = [module for module in self if isinstance(module, nn.Linear)]
        chunks = x.chunk(max(1, -(-len(x) // MAX_CHUNK_ROWS)))
        # Masks are drawn for the whole batch, layer by layer, so that they do not depend on the chunks.
        drawn = [
            random_bytes(torch.Size((len(x), linear.in_features))).chunk(len(chunks))
            if dropout.threshold
            else [None] * len(chunks)
            for dropout, linear in zip(dropouts, linears, strict=True)
        ]
        outputs = list[Tensor]()
        for values, *chunk_bytes in zip(chunks, *drawn, strict=True):
            for layer, (dropout, linear, bytes_) in enumerate(
                zip(dropouts, linears, chunk_bytes, strict=True)
            ):
                if layer:
                    values = functional.relu(values)
                if bytes_ is not None:
                    values = values * keep_mask(bytes_, dropout.threshold, values)
                values = functional.linear(values, linear.weight * dropout.scale, linear.bias)
            outputs.append(values)
        return torch.cat(outputs)
