"""What a network is trained to: plain functions from (network, batch, generator) to a loss to minimise.

`pointwise` makes ratings. `bpr` and `softmax` make an order: each liked item should score above items drawn
by chance. What they train predicts no ratings, and is chosen by val/ndcg@k (`recsys.evaluation.objective`).
"""

from typing import Literal

import torch
from torch import Generator, Tensor
from torch.nn import functional

from recsys.data.batches import Batch
from recsys.evaluation.ranking_metrics import relevant_from
from recsys.models.base import RatingNetwork
from recsys.types import PositiveFloat, PositiveInt

Positives = Literal["relevant", "all"]


def pointwise(network: RatingNetwork, batch: Batch, generator: Generator | None = None) -> Tensor:
    """The network's own loss of rating pairs: squared error, where it does not say otherwise."""
    return network.loss(batch.users, batch.items, batch.ratings)


def bpr(
    network: RatingNetwork,
    batch: Batch,
    generator: Generator | None = None,
    negatives: PositiveInt = 1,
    positives: Positives = "relevant",
    threshold: float | None = None,
) -> Tensor:
    """Bayesian personalised ranking: the mean of -ln sigmoid(score(u, i) - score(u, j)).

    (Rendle, Freudenthaler, Gantner and Schmidt-Thieme 2009, "BPR: Bayesian Personalized Ranking from Implicit
    Feedback", section 4.1; its regularisation is the optimizer's weight_decay.) i is a positive item of user
    u, j a item drawn uniformly from the catalogue.

    Args:
        network: in training mode.
        batch: ratings; those that are no positives only take up room.
        generator: of the drawn items, on the batch's device; None: torch's default one.
        negatives: how many items are drawn for each positive. They may be ones that the user has rated: a
            share of them as large as the user's share of the catalogue, 6 % in ML-100K and 0.3 % in ML-25M.
        positives: "relevant": ratings at or over the threshold. "all": whatever was rated.
        threshold: the lowest rating that is relevant; None: three quarters up the scale.
    """
    liked, drawn = _scores(network, batch, generator, negatives, positives, threshold)
    return functional.softplus(drawn - liked).sum() / max(drawn.numel(), 1)  # 0 where nothing is positive


def softmax(
    network: RatingNetwork,
    batch: Batch,
    generator: Generator | None = None,
    negatives: PositiveInt = 1,
    positives: Positives = "relevant",
    threshold: float | None = None,
    temperature: PositiveFloat = 1.0,
) -> Tensor:
    """Sampled softmax: the mean cross-entropy of picking the positive item among itself and the drawn ones.

    (Wu et al. 2024, "On the Effectiveness of Sampled Softmax Loss for Item Recommendation", with uniform
    negatives, for which the correction of Bengio and Senécal 2008 is the same for each and left out.)

    Args:
        network: as for `bpr`.
        batch: as for `bpr`.
        generator: as for `bpr`.
        negatives: as for `bpr`.
        positives: as for `bpr`.
        threshold: as for `bpr`.
        temperature: what scores are divided by; below 1, the drawn items that score highest weigh more.
    """
    liked, drawn = _scores(network, batch, generator, negatives, positives, threshold)
    logits = torch.cat([liked, drawn], dim=1) / temperature  # (P, 1 + n)
    return -logits.log_softmax(1)[:, 0].sum() / max(len(logits), 1)


def _scores(
    network: RatingNetwork,
    batch: Batch,
    generator: Generator | None,
    negatives: int,
    positives: Positives,
    threshold: float | None,
) -> tuple[Tensor, Tensor]:
    """Scores of the positives, (P, 1), and of the items drawn for each, (P, n), in one pass."""
    users, items, ratings = batch
    if positives == "relevant":
        liked = ratings >= relevant_from(threshold, network.scale)
        users, items = users[liked], items[liked]
    shape = (len(users), negatives)
    drawn = torch.randint(network.n_items, shape, generator=generator, dtype=items.dtype, device=items.device)
    compared = torch.cat([items[:, None], drawn], dim=1)  # (P, 1 + n)
    scores = network(users.repeat_interleave(1 + negatives), compared.flatten()).view(compared.shape)
    return scores[:, :1], scores[:, 1:]
