"""Adam that updates only the embedding rows used by a batch."""

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
        gradient = parameter.grad.coalesce()  # sums the gradients of repeated rows
        rows, values = gradient.indices()[0], gradient.values()  # (n,), (n, width)
        if grad_scale is not None:
            values = values / grad_scale
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        state["step"] += 1
        step, (beta1, beta2) = float(state["step"]), group["betas"]
        mean = state["exp_avg"][rows].lerp_(values, 1 - beta1)
        square = state["exp_avg_sq"][rows].mul_(beta2).addcmul_(values, values, value=1 - beta2)
        state["exp_avg"][rows], state["exp_avg_sq"][rows] = mean, square
        step_size = group["lr"] * (1 - beta2**step) ** 0.5 / (1 - beta1**step)
        # Kingma and Ba 2015, end of section 2: both corrections are in the step size, eps is not corrected.
        parameter.index_add_(0, rows, mean.div_(square.sqrt_().add_(group["eps"])), alpha=-step_size)
