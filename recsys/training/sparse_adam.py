"""Adam that touches only the rows of embedding tables that a batch has read."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Adam


class SparseAdam(Adam):
    """Adam whose step costs as much as the batch, however many rows the tables have.

    A sparse gradient (of an `nn.Embedding` with `sparse=True`) updates the weights and the moments of its own
    rows alone, as `torch.optim.SparseAdam` does: rows that were not read keep their momentum to themselves
    until they are. So this is not Adam, which moves every row in every step. Dense gradients are Adam's.

    Adam's L2 would pull at every row in every step, so there is no weight decay here.

    Args:
        params: parameters; which of them are sparse, their gradients say.
        lr: the learning rate.
        betas: how slowly the mean and the squares of gradients are forgotten.
        eps: added to the root of the squares.
        fused: for the dense ones.
    """

    sparse_gradients = True  # embeddings are to have them; see `RatingNetwork.use_sparse_gradients`

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        fused: bool | None = None,
    ) -> None:
        super().__init__(params, lr, betas, eps, fused=fused)
        self._step_supports_amp_scaling = False  # rows are updated here: a scaler has to unscale and to skip

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; returns what `closure` returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        sparse: list[tuple[Tensor, Tensor]] = []
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and parameter.grad.is_sparse:
                    sparse.append((parameter, parameter.grad))
                    self._update_rows(parameter, group)
                    parameter.grad = None  # so that Adam leaves it alone
        super().step()
        for parameter, gradient in sparse:
            parameter.grad = gradient
        return loss

    def _update_rows(self, parameter: Tensor, group: dict[str, Any]) -> None:
        assert parameter.grad is not None
        gradient = parameter.grad.coalesce()  # a row that was read twice adds up
        rows, values = gradient.indices()[0], gradient.values()  # (n,), (n, width)
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
        rate = group["lr"] * (1 - beta2**step) ** 0.5 / (1 - beta1**step)
        # Kingma and Ba 2015, end of section 2: both corrections in the rate, and eps beside the plain root.
        parameter.index_add_(0, rows, mean.div_(square.sqrt_().add_(group["eps"])), alpha=-rate)
