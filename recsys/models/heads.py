"""From a network's score to a rating: as it is, bounded, or by the probabilities of each rating."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from recsys.errors import ConfigError

Head = Literal["linear", "sigmoid", "ordinal"]
MOST_LEVELS = 20  # different ratings; more are a scale, not levels
SMALLEST = 1e-6  # a probability's logarithm is not taken below


def levels_of(ratings: NDArray) -> list[float]:
    """The different ratings there are, ascending; empty where there are more than `MOST_LEVELS`."""
    levels = np.unique(ratings).tolist()
    return levels if len(levels) <= MOST_LEVELS else []


class Linear(nn.Module):
    """rating = mean + score.

    Args:
        mean: the mean rating of the training part.
    """

    def __init__(self, mean: float) -> None:
        super().__init__()
        self.mean = mean

    def forward(self, scores: Tensor) -> Tensor:
        """Scores to ratings of the same shape."""
        return self.mean + scores


class Bounded(nn.Module):
    """A sigmoid stretched `margin` beyond both ends of the scale, so that the ends themselves can be reached.

    Args:
        scale: the lowest and the highest rating.
        margin: how far the sigmoid reaches beyond, in rating points.
    """

    def __init__(self, scale: Sequence[float], margin: float) -> None:
        super().__init__()
        self.low, self.high = scale[0] - margin, scale[1] + margin

    def forward(self, scores: Tensor) -> Tensor:
        """Scores to ratings of the same shape."""
        return self.low + (self.high - self.low) * torch.sigmoid(scores)


class Ordinal(nn.Module):
    """P(rating <= level k) = sigmoid(t_k - score); the rating is the expectation.

    Ratings are ordered classes, and people do not space them evenly: the thresholds t_k are learned. The
    cumulative logit model of McCullagh (1980, Regression Models for Ordinal Data); in recommendation, Koren
    and Sill (2011, OrdRec).

    Args:
        levels: the K ratings there are, ascending.
    """

    levels: Tensor

    def __init__(self, levels: Sequence[float]) -> None:
        super().__init__()
        if len(levels) < 2:
            raise ConfigError(
                f"model.head=ordinal: needs ratings of 2 to {MOST_LEVELS} different values; "
                "model.head=sigmoid takes any"
            )
        self.register_buffer("levels", torch.tensor([float(level) for level in levels]))
        even = torch.arange(1, len(levels)) / len(levels)
        self.thresholds = nn.Parameter(torch.logit(even))  # at a score of 0, all levels are as likely

    def forward(self, scores: Tensor) -> Tensor:
        """Scores to expected ratings of the same shape, in float32."""
        # One level after another: a catalogue's scores need no room times the number of levels.
        ratings = self.levels[-1].expand(scores.shape)
        for threshold, step in zip(self.thresholds, self.levels.diff(), strict=True):
            ratings = ratings - step * torch.sigmoid(threshold - scores.float())
        return ratings

    def loss(self, scores: Tensor, ratings: Tensor) -> Tensor:
        """The mean negative log-likelihood of ratings (B,), each of which is one of the levels."""
        below = functional.pad(functional.pad(self._below(scores), (1, 0)), (0, 1), value=1.0)  # (B, K + 1)
        level = torch.searchsorted(self.levels, ratings.contiguous())[:, None]
        likelihood = below.gather(1, level + 1) - below.gather(1, level)
        return -likelihood.clamp_min(SMALLEST).log().mean()

    def _below(self, scores: Tensor) -> Tensor:
        """P(rating <= each level but the highest): (...) to (..., K - 1)."""
        return torch.sigmoid(self.thresholds - scores.float()[..., None])


def make_head(
    head: Head, scale: Sequence[float], mean: float, levels: Sequence[float] = (), margin: float = 0.5
) -> Linear | Bounded | Ordinal:
    """A head by its name in the configuration.

    Args:
        head: "linear", "sigmoid" or "ordinal".
        scale: the lowest and the highest rating.
        mean: the mean rating of the training part.
        levels: the different ratings there are, ascending; empty where there are many.
        margin: of the sigmoid.

    Raises:
        ConfigError: "ordinal", and there are no levels.
    """
    if head == "linear":
        return Linear(mean)
    return Bounded(scale, margin) if head == "sigmoid" else Ordinal(levels)
