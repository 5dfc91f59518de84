"""Losses: what training minimises, and which validation metric goes with it.

A loss is an object. It is called with (network, batch, generator) and returns a scalar; it knows whether it trains
ratings, which objective selects its weights, and which L2 penalty is added. A loss of your own is a subclass of
`Loss` that implements `__call__`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Generator, Tensor
from torch.nn import functional

from recsys.data.batches import Batch
from recsys.evaluation.objective import VAL_RMSE, Objective
from recsys.models.base import RatingNetwork
from recsys.models.heads import relevance_threshold
from recsys.training.regularization import L2Penalty
from recsys.types import PositiveFloat, PositiveInt

Positives = Literal["relevant", "all"]
Weights = Literal["equal", "count", "log-count"]


class Loss(ABC):
    """The base class of losses.

    Args:
        l2: penalty on the embeddings of a batch: an `L2Penalty` or its arguments; None: its defaults.

    Attributes:
        predicts_ratings: whether trained scores are ratings. If not, they only order one user's items, and no
            rating metrics are computed.
        is_static: whether the loss has the same operations and sizes for all batches of one length, and depends on
            no value that Python changes during training. Only then can a step be captured as a CUDA graph.
    """

    predicts_ratings: ClassVar[bool] = True
    is_static: ClassVar[bool] = False

    @property
    def ranks(self) -> bool:
        """Whether training orders items, so that ranking metrics are logged for each epoch."""
        return not self.predicts_ratings

    @property
    def counts_interactions(self) -> bool:
        """Whether the loss depends on numbers of interactions, which take the place of ratings where there are none."""
        return False

    @property
    def network_arguments(self) -> dict[str, Any]:
        """Arguments that the constructor of the network needs for this loss, by name."""
        return {}

    def __init__(self, l2: L2Penalty | Mapping[str, Any] | None = None) -> None:
        self.l2 = l2 if isinstance(l2, L2Penalty) else L2Penalty(**(l2 or {}))

    @abstractmethod
    def __call__(self, network: RatingNetwork, batch: Batch, generator: Generator | None = None) -> Tensor:
        """Return the loss of a batch, without the penalty.

        Args:
            network: in training mode.
            batch: B ratings.
            generator: of random draws, on the batch's device; None: torch's default generator.
        """

    def penalty(self, network: RatingNetwork, batch: Batch) -> Tensor | float:
        """Return the L2 penalty of a batch."""
        return self.l2(network, batch) if self.l2 else 0.0

    def selected(self, ratings: Tensor, scale: tuple[float, float]) -> Tensor | None:
        """Return which training ratings batches are made of: bool (n,); None: all of them.

        Args:
            ratings: those of the training set (n,).
            scale: the lowest and the highest rating.
        """
        return None

    def objective(self, k: int) -> Objective:
        """Return the validation metric that selects weights.

        Args:
            k: number of recommendations per user in ranking metrics.
        """
        return VAL_RMSE if self.predicts_ratings else Objective(f"val/ndcg@{k}", "max")


class Pointwise(Loss):
    """The network's own loss of predicting ratings: squared error, or the likelihood of an ordinal head."""

    is_static = True

    def __call__(self, network: RatingNetwork, batch: Batch, generator: Generator | None = None) -> Tensor:
        """Return the mean loss over the ratings of a batch."""
        return network.loss(batch.users, batch.items, batch.ratings)


class Joint(Loss):
    """How items are rated, and which are chosen: L(rating) - weight * log P(chosen | the items of the batch).

    L is the loss of `Pointwise`. The second term is a softmax in which the item of each rating competes with those of
    other ratings in the batch; see `ChoiceHead`. The network needs `choice=True`, which `network_arguments` passes on.

    Args:
        weight: of the second term.
        negatives: the largest number of items that an item competes with; larger batches are divided into groups.
        threshold: the lowest relevant rating; None: three quarters up the scale. Items are ranked by
            log P(chosen) + w log P(relevant), see `JointScorer`; w is selected on the validation set.
        l2: see `Loss`.
    """

    is_static = True

    def __init__(
        self,
        weight: PositiveFloat = 0.1,
        negatives: PositiveInt = 249,
        threshold: float | None = None,
        l2: L2Penalty | Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(l2)
        self.weight, self.negatives, self.threshold = weight, negatives, threshold

    @property
    def ranks(self) -> bool:
        """Whether training orders items: here it does, next to predicting ratings."""
        return True

    @property
    def network_arguments(self) -> dict[str, Any]:
        """Arguments that the constructor of the network needs for this loss, by name."""
        return {"choice": True, "threshold": self.threshold}

    def __call__(self, network: RatingNetwork, batch: Batch, generator: Generator | None = None) -> Tensor:
        """Return the mean loss over the ratings of a batch."""
        rating, choice = network.joint_losses(batch.users, batch.items, batch.ratings, self.negatives)
        return rating + self.weight * choice


class RankingLoss(Loss):
    """The base class of losses that score positive items above sampled ones.

    A `MovieLensDataModule` makes batches of positive ratings only. Other ratings, which a loader of your own may have,
    get the weight 0; they are not removed, because their number would have to be read from the GPU in every step.

    Args:
        negatives: number of items sampled for each positive one, uniformly from the catalogue. Some are items
            that the user has rated: a share as large as the user's share of the catalogue, 6 % in ML-100K and
            0.3 % in ML-25M.
        positives: "relevant": ratings at or above the threshold; "all": every rated item.
        threshold: the lowest relevant rating; None: three quarters up the scale.
        weights: of positive items: "equal"; or, for interactions, "count": how often the user had this one,
            "log-count": 1 + ln(count).
        l2: see `Loss`.
    """

    predicts_ratings = False

    def __init__(
        self,
        negatives: PositiveInt,
        positives: Positives = "relevant",
        threshold: float | None = None,
        weights: Weights = "equal",
        l2: L2Penalty | Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(l2)
        self.negatives, self.positives, self.threshold = negatives, positives, threshold
        self.weights = weights

    @property
    def counts_interactions(self) -> bool:
        """Whether positive items are weighted by their number of interactions."""
        return self.weights != "equal"

    def selected(self, ratings: Tensor, scale: tuple[float, float]) -> Tensor | None:
        """Return which ratings are positive: bool (n,); None: all of them."""
        return None if self.positives == "all" else ratings >= relevance_threshold(self.threshold, scale)

    def scores(
        self, network: RatingNetwork, batch: Batch, generator: Generator | None
    ) -> tuple[Tensor, Tensor]:
        """Return scores of the items of a batch, (B, 1), and of their negatives, (B, negatives)."""
        users, items, _ = batch
        sampled = torch.randint(
            network.n_items,
            (len(users), self.negatives),
            generator=generator,
            dtype=items.dtype,
            device=items.device,
        )
        compared = torch.cat([items[:, None], sampled], dim=1)  # (B, 1 + negatives)
        scores = network(users.repeat_interleave(1 + self.negatives), compared.flatten()).view(compared.shape)
        return scores[:, :1], scores[:, 1:]

    def mean(self, losses: Tensor, network: RatingNetwork, batch: Batch) -> Tensor:
        """Return the weighted mean of the losses of the positive ratings of a batch, given those of all (B,).

        Without positive ratings, it is 0.
        """
        positive = self.selected(batch.ratings, network.scale)
        if positive is None and self.weights == "equal":
            return losses.mean()
        weights = torch.ones_like(losses)
        if self.weights != "equal":
            weights = batch.ratings if self.weights == "count" else 1 + batch.ratings.log()
        if positive is not None:
            weights, losses = torch.where(positive, weights, 0.0), torch.where(positive, losses, 0.0)
        return (weights * losses).sum() / weights.sum().clamp_min(1)


class BPR(RankingLoss):
    """Bayesian personalised ranking: the mean of -ln sigmoid(score(u, i) - score(u, j)).

    i is a positive item of user u, j a sampled one (Rendle, Freudenthaler, Gantner and Schmidt-Thieme 2009, "BPR:
    Bayesian Personalized Ranking from Implicit Feedback", section 4.1). See `RankingLoss` for the arguments.
    """

    is_static = True

    def __init__(
        self,
        negatives: PositiveInt = 1,
        positives: Positives = "relevant",
        threshold: float | None = None,
        weights: Weights = "equal",
        l2: L2Penalty | Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(negatives, positives, threshold, weights, l2)

    def __call__(self, network: RatingNetwork, batch: Batch, generator: Generator | None = None) -> Tensor:
        """Return the mean loss over pairs of positive and negative; 0 if the batch has no positives."""
        positive, negative = self.scores(network, batch, generator)
        return self.mean(functional.softplus(negative - positive).mean(1), network, batch)


class SampledSoftmax(RankingLoss):
    """Sampled softmax: the mean cross-entropy of picking the positive item among itself and the sampled ones.

    (Wu et al. 2024, "On the Effectiveness of Sampled Softmax Loss for Item Recommendation". With uniform negatives
    the correction of Bengio and Senécal 2008 is the same for all items and left out.) See `RankingLoss` for
    the other arguments.

    Args:
        temperature: scores are divided by it; below 1, negatives with high scores weigh more.
    """

    is_static = True

    def __init__(
        self,
        negatives: PositiveInt = 16,
        positives: Positives = "relevant",
        threshold: float | None = None,
        temperature: PositiveFloat = 1.0,
        weights: Weights = "equal",
        l2: L2Penalty | Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(negatives, positives, threshold, weights, l2)
        self.temperature = temperature

    def __call__(self, network: RatingNetwork, batch: Batch, generator: Generator | None = None) -> Tensor:
        """Return the mean loss over positives; 0 if the batch has none."""
        positive, negative = self.scores(network, batch, generator)
        logits = torch.cat([positive, negative], dim=1) / self.temperature  # (B, 1 + negatives)
        return self.mean(-logits.log_softmax(1)[:, 0], network, batch)
