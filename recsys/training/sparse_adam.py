"""Adam that updates only the embedding rows used by a batch."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Adam


class SparseAdam(Adam):
    """Adam whose cost per step depends on the batch size and not on the size of the embedding tables.

    A sparse gradient (of an `nn.Embedding` with `sparse=True`) updates the weights and moments of its own
    rows only, like `torch.optim.SparseAdam`; other rows keep their moments until they are used again. Adam
    itself updates every row in every step. Parameters with dense gradients are updated by Adam.

    There is no weight decay: Adam's L2 penalty would have to update every row in every step.

    Args:
        params: parameters with dense or sparse gradients.
        lr: learning rate.
        betas: decay rates of the moving averages of the gradient and of its square.
        eps: term added to the denominator.
        fused: whether dense parameters are updated by one fused kernel.
    """

    sparse_gradients = True  # tells RatingModule to make the gradients of embeddings sparse

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        fused: bool | None = True,
    ) -> None:
        super().__init__(params, lr, betas, eps, fused=fused)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters once; return the result of `closure`."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        # Under float16, torch.amp.GradScaler sets both attributes on a fused optimizer. It has then neither
        # divided the gradients by the scale nor skipped the step because of infinite gradients.
        grad_scale, found_inf = getattr(self, "grad_scale", None), getattr(self, "found_inf", None)
        sparse: list[tuple[Tensor, Tensor]] = []
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and parameter.grad.is_sparse:
                    sparse.append((parameter, parameter.grad))
                    if found_inf is None or not found_inf.item():
                        self._update_rows(parameter, group, grad_scale)
                    parameter.grad = None  # hides the parameter from Adam's step
        super().step()
        for parameter, gradient in sparse:
            parameter.grad = gradient
        return loss

    def _update_rows(self, parameter: Tensor, group: dict[str, Any], grad_scale: Tensor | None) -> None:
        assert parameter.grad is not None
        rows, values, is_used = _summed_rows(parameter.grad)  # (n,), (n, width), (n, 1)
        if grad_scale is not None:
            values = values / grad_scale
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        state["step"] += 1
        beta1, beta2 = group["betas"]
        mean, square = state["exp_avg"][rows], state["exp_avg_sq"][rows]
        mean_change = (values - mean) * (1 - beta1) * is_used
        square_change = (values.square() - square) * (1 - beta2) * is_used
        state["exp_avg"].index_add_(0, rows, mean_change)
        state["exp_avg_sq"].index_add_(0, rows, square_change)
        # 1 - beta^step, exactly also where beta^step is almost 1.
        corrections = [-torch.expm1(state["step"] * math.log(beta)) for beta in (beta1, beta2)]
        step_size = group["lr"] * corrections[1].sqrt() / corrections[0]
        # Kingma and Ba 2015, end of section 2: both corrections are in the step size, eps is not corrected.
        update = (mean + mean_change) / ((square + square_change).sqrt() + group["eps"])
        parameter.index_add_(0, rows, -step_size * update * is_used)


def _summed_rows(gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the rows of a sparse gradient, with the sum of each, like `coalesce`.

    The number of distinct rows would have to be read from the device, so there are as many as the gradient has entries.
    Those beyond the distinct ones are row 0 with the value 0.

    Returns:
        Row numbers (n,), their values (n, width), and whether they are used, 0 or 1 (n, 1).
    """
    # The public methods need a coalesced tensor.
    rows, order = gradient._indices()[0].sort(stable=True)
    values = gradient._values().index_select(0, order)
    is_first = torch.ones_like(rows)
    is_first[1:] = rows[1:] != rows[:-1]
    position = is_first.cumsum(0) - 1
    distinct = torch.zeros_like(rows).scatter_(0, position, rows)
    summed = torch.zeros_like(values).index_add_(0, position, values)
    is_used = torch.arange(len(rows), device=rows.device) <= position[-1:]
    return distinct, summed, is_used[:, None].to(values.dtype)
