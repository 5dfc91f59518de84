"""Methods of the user's own classes that return something else than their base class promises."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.tiny import QUICK
from torch import Tensor

from recsys.data.sources.synthetic import Synthetic
from recsys.data.splits import RandomSplit, Split
from recsys.errors import UserError
from recsys.experiment.train import train
from recsys.models.base import RatingNetwork
from recsys.models.matrix_factorization import MatrixFactorization
from recsys.training.losses import Pointwise
from recsys.training.schedules import Constant


class NoDataset(Synthetic):
    def load(self) -> Any:
        return None


class NoSplit(RandomSplit):
    def __call__(self, dataset: Any) -> Any:
        return [0], [1], [2]


class Overlap(RandomSplit):
    def __call__(self, dataset: Any) -> Split:
        return Split(np.arange(len(dataset)), np.arange(5), np.arange(5))


class Descending(RandomSplit):
    def __call__(self, dataset: Any) -> Split:
        split = super().__call__(dataset)
        return Split(split.train[::-1], split.val, split.test)


class TooMany(RandomSplit):
    def __call__(self, dataset: Any) -> Split:
        split = super().__call__(dataset)
        return Split(split.train, split.val, np.append(split.test, len(dataset)))


class Lists(RandomSplit):
    def __call__(self, dataset: Any) -> Split:
        return Split([0], [1], [2])  # type: ignore[arg-type]


class Column(MatrixFactorization):
    def logits(self, users: Tensor, items: Tensor) -> Tensor:
        return super().logits(users, items)[:, None]


class NoScores(MatrixFactorization):
    def forward(self, users: Tensor, items: Tensor) -> Any:
        return None

    logits = RatingNetwork.logits


class Whole(MatrixFactorization):
    def logits(self, users: Tensor, items: Tensor) -> Tensor:
        return super().logits(users, items).long()


class NoLoss(Pointwise):
    def __call__(self, *_: Any) -> Any:
        return None


class LossPerRow(Pointwise):
    def __call__(self, *_: Any) -> Any:
        return torch.ones(3, requires_grad=True)


class NoScheduler(Constant):
    def __call__(self, *_: Any) -> Any:
        return lambda step: 1.0


class NoEnds(Constant):
    def cycle_ends(self, max_epochs: int) -> Any:
        return None


class NotASchedule:
    pass


MODEL = "model=matrix-factorization"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data._target_=NoDataset"], r"data: NoDataset\.load must return a Dataset, .* returns None"),
        (["split._target_=NoSplit"], r"split: NoSplit\.__call__ must return a .*Split, and returns a tuple"),
        (
            ["split._target_=Overlap"],
            r"exactly one set; the sets have 3,010 rows, of which 3,000 are different",
        ),
        (["split._target_=Descending"], r"must be strictly ascending, from 0 to 2,999"),
        (["split._target_=TooMany"], r"must be strictly ascending, from 0 to 2,999"),
        (
            ["split._target_=Lists"],
            r"split: Lists\.__call__ must return three one-dimensional NumPy arrays of int64",
        ),
        ([MODEL, "model._target_=Column"], r"floats of shape \(2,\) for 2 users.*float32 of shape \(2, 1\)"),
        ([MODEL, "model._target_=NoScores"], r"NoScores\.forward must return a tensor, and returns None"),
        ([MODEL, "model._target_=Whole"], r"floats of shape .*, and returns torch\.int64 of shape \(2,\)"),
        (["loss=pointwise", "loss._target_=NoLoss"], r"NoLoss\.__call__ must return a scalar .* None"),
        (["loss=pointwise", "loss._target_=LossPerRow"], r"and returns a Tensor of shape \(3,\)"),
        (["schedule=constant", "schedule._target_=NoScheduler"], r"scheduler of torch.*returns a function"),
        (
            ["schedule=constant", "schedule._target_=NoEnds"],
            r"must return a set of integers, at least one, and returns None",
        ),
        (["~schedule", "+schedule._target_=NotASchedule"], r"must be a subclass of .*schedules\.Schedule"),
        (["~loss", "+loss._target_=NotASchedule"], r"must be a subclass of recsys\.training\.losses\.Loss"),
    ],
)
def test_what_a_class_must_return_is_said(
    compose, overrides: list[str], message: str, tmp_path: Path
) -> None:
    named = [override.replace("_target_=", f"_target_={__name__}.") for override in overrides]
    with pytest.raises(UserError, match=message) as error:
        train(compose(*QUICK, *named), tmp_path / "run")
    assert len(str(error.value).splitlines()) == 1
