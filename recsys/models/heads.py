"""Heads: turn a network's score into a rating, and say which loss trains it."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from recsys.errors import ConfigError

Head = Literal["linear", "sigmoid", "ordinal", "auto"]
MAX_RATING_VALUES = 20  # an ordinal head learns a threshold per value; more values are a continuous scale
MIN_LIKELIHOOD = 1e-6  # smaller probabilities are clamped before the logarithm


def distinct_ratings(ratings: NDArray) -> list[float]:
    """Return the distinct ratings in ascending order; empty if there are more than `MAX_RATING_VALUES`."""
    values = np.unique(ratings).tolist()
    return values if len(values) <= MAX_RATING_VALUES else []


def relevance_threshold(threshold: float | None, scale: Sequence[float]) -> float:
    """Return the lowest relevant rating: the given one, or three quarters up the scale (4 on a scale of 1 to 5)."""
    return scale[0] + 0.75 * (scale[1] - scale[0]) if threshold is None else float(threshold)


class MeanOffsetHead(nn.Module):
    """rating = mean + score.

    Args:
        mean: the mean rating of the training set.
        scale: the lowest and the highest rating.
    """

    additive = True  # scores are in rating points, so biases can be read as such

    def __init__(self, mean: float, scale: Sequence[float]) -> None:
        super().__init__()
        self.mean, self.low, self.high = mean, scale[0], scale[1]

    def forward(self, scores: Tensor) -> Tensor:
        """Return ratings of the shape of `scores`."""
        return self.mean + scores

    def log_relevance(self, scores: Tensor, threshold: float) -> Tensor:
        """Return the logarithm of the ratings' position on the scale, from 0 to 1; the threshold is not used.

        It takes the place of log P(rating >= threshold), which only an ordinal head knows.
        """
        position = (self(scores) - self.low) / (self.high - self.low)
        return position.clamp_min(MIN_LIKELIHOOD).log()


class SigmoidHead(nn.Module):
    """A sigmoid stretched over the rating scale, plus a margin so that both ends can be reached.

    Args:
        scale: the lowest and the highest rating.
        margin: how far the sigmoid extends beyond the scale, in rating points.
    """

    def __init__(self, scale: Sequence[float], margin: float) -> None:
        super().__init__()
        self.low, self.high = scale[0] - margin, scale[1] + margin

    def forward(self, scores: Tensor) -> Tensor:
        """Return ratings of the shape of `scores`."""
        return self.low + (self.high - self.low) * torch.sigmoid(scores)

    def log_relevance(self, scores: Tensor, threshold: float) -> Tensor:
        """Return the logarithm of the ratings' position on the scale; see `MeanOffsetHead.log_relevance`."""
        return functional.logsigmoid(scores)


class OrdinalHead(nn.Module):
    """P(rating <= value k) = sigmoid(t_k - score); the predicted rating is the expectation.

    Ratings are ordered classes whose spacing differs between scales, so the thresholds t_k are learned. This is
    the cumulative logit model of McCullagh (1980, Regression Models for Ordinal Data); for recommendation see
    Koren and Sill (2011, OrdRec).

    Args:
        rating_values: the K distinct ratings, ascending.

    Raises:
        ConfigError: fewer than two rating values.
    """

    rating_values: Tensor

    def __init__(self, rating_values: Sequence[float]) -> None:
        super().__init__()
        if len(rating_values) < 2:
            raise ConfigError(
                f"model.head=ordinal: needs 2 to {MAX_RATING_VALUES} distinct rating values in the training "
                "set; model.head=sigmoid works for any ratings"
            )
        self.register_buffer("rating_values", torch.tensor([float(value) for value in rating_values]))
        even = torch.arange(1, len(rating_values)) / len(rating_values)
        self.thresholds = nn.Parameter(torch.logit(even))  # a score of 0 makes all values equally likely

    def forward(self, scores: Tensor) -> Tensor:
        """Return expected ratings of the shape of `scores`, in float32."""
        # A loop over the values keeps memory at the size of `scores`, which may cover a whole catalogue.
        ratings = self.rating_values[-1].expand(scores.shape)
        for threshold, step in zip(self.thresholds, self.rating_values.diff(), strict=True):
            ratings = ratings - step * torch.sigmoid(threshold - scores.float())
        return ratings

    def negative_log_likelihood(self, scores: Tensor, ratings: Tensor) -> Tensor:
        """Return the mean negative log-likelihood of ratings (B,), each one of the rating values."""
        cumulative = torch.sigmoid(self.thresholds - scores.float()[..., None])  # (B, K - 1)
        cumulative = functional.pad(functional.pad(cumulative, (1, 0)), (0, 1), value=1.0)  # (B, K + 1)
        index = torch.searchsorted(self.rating_values, ratings.contiguous())[:, None]
        likelihood = cumulative.gather(1, index + 1) - cumulative.gather(1, index)
        return -likelihood.clamp_min(MIN_LIKELIHOOD).log().mean()

    def log_relevance(self, scores: Tensor, threshold: float) -> Tensor:
        """Return log P(rating >= threshold) in the shape of `scores`; above all ratings, that of the highest one."""
        below = min(int((self.rating_values < threshold).sum()), len(self.thresholds))
        if below == 0:
            return torch.zeros_like(scores)
        return functional.logsigmoid(scores.float() - self.thresholds[below - 1])


def make_head(
    head: Head, scale: Sequence[float], mean: float, rating_values: Sequence[float] = (), margin: float = 0.5
) -> MeanOffsetHead | SigmoidHead | OrdinalHead:
    """Build a head by its name in the configuration.

    If all training ratings are equal, as those of interactions are, there is nothing to learn about ratings: the head
    is linear in any case.

    Args:
        head: "linear" (mean + score), "sigmoid", "ordinal", or "auto": ordinal if there are rating values, otherwise
            sigmoid.
        scale: the lowest and the highest rating.
        mean: the mean rating of the training set.
        rating_values: the distinct ratings, ascending; empty if there are more than `MAX_RATING_VALUES`.
        margin: how far a sigmoid extends beyond the scale, in rating points.

    Raises:
        ConfigError: "ordinal" without rating values.
    """
    if head == "linear" or len(rating_values) == 1:
        return MeanOffsetHead(mean, scale)
    if head == "sigmoid" or (head == "auto" and not rating_values):
        return SigmoidHead(scale, margin)
    return OrdinalHead(rating_values)
