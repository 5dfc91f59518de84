"""Rating metrics, pooled over all ratings of a subset: predictions are clipped to the scale, none is dropped."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor
from torchmetrics import Metric

from recsys.data.batches import Batch
from recsys.evaluation.added_metrics import NO_METRICS, AddedMetrics, finite, for_processes
from recsys.models.scorer import Scorer


class RatingErrors(Metric):
    """RMSE and MAE from sums over ratings, in float64, and the rating metrics that a configuration adds.

    Args:
        device: where the sums are kept; MPS has no float64, so float32 is used there.
        all_processes: whether `compute` adds up the sums of all processes of a distributed run.
        added: further metrics by name, which stay as they are: copies are updated.
    """

    full_state_update = False
    squared: Tensor
    absolute: Tensor
    count: Tensor

    def __init__(
        self,
        device: torch.device | str = "cpu",
        all_processes: bool = False,
        added: Mapping[str, Metric] = MappingProxyType({}),
    ) -> None:
        super().__init__(sync_on_compute=all_processes)
        dtype = torch.float32 if torch.device(device).type == "mps" else torch.float64
        for name in ("squared", "absolute", "count"):
            self.add_state(name, torch.zeros((), dtype=dtype), dist_reduce_fx="sum")
        self.to(device)
        self.added = {name: for_processes(metric, device, all_processes) for name, metric in added.items()}

    def update(self, predicted: Tensor, true: Tensor) -> None:
        """Add the errors of predictions (B,) against ratings (B,)."""
        error = (predicted - true).to(self.squared.dtype)
        self.squared += error.square().sum()
        self.absolute += error.abs().sum()
        self.count += error.numel()
        for metric in self.added.values():
            metric.update(predicted.to(error.dtype), true.to(error.dtype))

    def compute(self) -> dict[str, float]:
        """Return {"rmse": ..., "mae": ..., and the added metrics that are finite}.

        Raises:
            ValueError: no rating was added.
        """
        if not self.count:
            raise ValueError("no ratings to measure")
        return {
            "rmse": float((self.squared / self.count).sqrt()),
            "mae": float(self.absolute / self.count),
            **finite({name: metric.compute() for name, metric in self.added.items()}),
        }


def prefixed(subset: str, metrics: dict[str, float]) -> dict[str, float]:
    """Return metrics under the names of a subset: {"test/rmse": ...}."""
    return {f"{subset}/{name}": value for name, value in metrics.items()}


@torch.no_grad()
def rating_metrics(
    scorer: Scorer, batches: Iterable[Batch], subset: str, added: AddedMetrics = NO_METRICS
) -> dict[str, float]:
    """Return `<subset>/rmse`, `<subset>/mae` and added metrics over all batches, computed on the scorer's device."""
    errors = RatingErrors(scorer.device, added=added.rating)
    for users, items, ratings in batches:
        errors.update(
            scorer.predict(users.to(scorer.device), items.to(scorer.device)), ratings.to(scorer.device)
        )
    return prefixed(subset, errors.compute())
