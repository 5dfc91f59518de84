"""Which items users choose, that is, rate at all: the head that learns it, and a scorer that also ranks by it."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from recsys.models.heads import relevance_threshold
from recsys.models.histories import Histories, HistoryLists
from recsys.models.scorer import Precision, Scorer
from recsys.models.table_scorer import Table, TableScorer

MASKED = -1e9  # added to the logits of items that do not compete


class ChoiceHead(nn.Module):
    """log P(user u chooses item i) = log n_i + c_i + (W p_u) . q_i, up to a constant per user.

    p_u and q_i are the vectors that also predict ratings, n_i is the number of training ratings of the item plus 1, and
    W and c_i are learned.

    Args:
        n_items: number of items.
        dim: length d of the vectors.

    Attributes:
        relevance_weight: w of `JointScorer`, a scalar; selected on the validation set after each epoch.
    """

    relevance_weight: Tensor

    def __init__(self, n_items: int, dim: int) -> None:
        super().__init__()
        self.query = nn.Linear(dim, dim, bias=False)
        self.bias = nn.Embedding(n_items, 1)
        self.register_buffer("relevance_weight", torch.tensor(1.0))
        nn.init.eye_(self.query.weight)
        nn.init.zeros_(self.bias.weight)
        # As in `HistoryEncoder`, the ratings are not buffers, which DDP would broadcast in every step.
        self._ratings: HistoryLists | None = None
        self._log_counts: Tensor | None = None

    def set_ratings(self, items: NDArray, ratings: HistoryLists) -> None:
        """Set the training ratings.

        Args:
            items: the item index of each rating, (n,).
            ratings: the same ratings, grouped by user.
        """
        counts = np.bincount(items, minlength=self.bias.num_embeddings)
        self._ratings, self._log_counts = ratings, torch.from_numpy(np.log1p(counts)).float()

    @property
    def ratings(self) -> Histories:
        """The training ratings, on the device of the weights.

        Raises:
            RuntimeError: they are not set.
        """
        if self._ratings is None:
            raise RuntimeError("no ratings: call network.setup_from_data(dataset, split.train) first")
        return self._ratings.on(self.bias.weight.device)

    def loss(self, users: Tensor, items: Tensor, vectors: tuple[Tensor, Tensor], negatives: int) -> Tensor:
        """Return the mean of -log P(chosen): a softmax over the items of each group of the batch.

        Each user's own item competes with the items of the other ratings. Items occur in a batch in proportion to
        their number of ratings. Correcting the logits for this (Yi et al. 2019, Sampling-Bias-Corrected Neural Modeling
        for Large Corpus Item Recommendations) subtracts log n_i, which cancels the same term of the model. The other
        ratings of a group are masked if the user has rated their item in the training set.

        Args:
            users: user indices (B,).
            items: item indices (B,).
            vectors: those of users and items, both (B, d).
            negatives: the largest number of items that an item competes with. The batch is divided into groups of
                `negatives` + 1 ratings, and items compete within their group only.
        """
        groups = zip(*(column.split(negatives + 1) for column in (users, items, *vectors)), strict=True)
        return torch.stack([self._sum(*group) for group in groups]).sum() / len(users)

    def _sum(self, users: Tensor, items: Tensor, p: Tensor, q: Tensor) -> Tensor:
        """Return the sum of -log P(chosen) over a group."""
        # The bias is one more dimension of the dot products. Each user's own item is on the diagonal of (B, B).
        query = functional.pad(self.query(p), (0, 1), value=1.0)
        logits = (query @ torch.cat([q, self.bias(items)], dim=1).T).float()
        own = torch.arange(len(users), device=users.device)
        others = self.ratings.are_rated(users, items).fill_diagonal_(0)
        # Adding takes half the time of masked_fill.
        return functional.cross_entropy(logits + MASKED * others, own, reduction="sum")

    def popularity(self) -> Tensor:
        """Return log n_i + c_i of all items, (n_items,)."""
        learned = self.bias.weight[:, 0]
        return learned if self._log_counts is None else learned + self._log_counts.to(learned.device)


class JointScorer(TableScorer):
    """Predicts ratings as a `TableScorer`, and ranks by log P(chosen) + w log P(relevant).

    For other items (`with_items`) it is a `TableScorer` that only predicts ratings: nothing is known about choices.

    An item is relevant if its rating is at least the threshold. P(relevant) is a probability with an ordinal head;
    other heads use the position of the predicted rating on the scale instead, from 0 to 1, and no threshold.

    Args:
        base: predicts the ratings; its tables and its head are shared.
        query: W of `ChoiceHead`, (d, d).
        popularity: log n_i + c_i, (n_items,).
        threshold: the lowest relevant rating; None: three quarters up the scale.
        relevance_weight: w; a scalar tensor.

    Attributes:
        relevance_weight: w, which may be changed.
    """

    query: Tensor
    popularity: Tensor
    relevance_weight: Tensor

    def __init__(
        self,
        base: TableScorer,
        query: Tensor,
        popularity: Tensor,
        threshold: float | None,
        relevance_weight: Tensor,
    ) -> None:
        users = Table(base.user_vectors, base.user_biases)
        items = Table(base.item_vectors, base.item_biases)
        kind = base.predicts_ratings, base.dot, base.mlp
        super().__init__(users, items, base.head, base.scale, *kind)
        self.threshold = relevance_threshold(threshold, base.scale)
        self.register_buffer("query", query)
        self.register_buffer("popularity", popularity)
        self.register_buffer("relevance_weight", relevance_weight)

    def ranker(self, choice_rows: Tensor | None = None) -> "JointRanker":
        """Return the scorer that ranks items for recommendation; see `Scorer.ranker`."""
        return JointRanker(self, self if choice_rows is None else self.with_users(choice_rows))

    def choice_scorer(self) -> "ChoiceScorer":
        """Return the scorer of log P(chosen)."""
        return ChoiceScorer(self)

    def choice_logits(self, users: Tensor, items: Tensor) -> Tensor:
        """Return log P(chosen) up to a constant per user: (B,) and (B,) to (B,)."""
        assert self.user_vectors is not None
        assert self.item_vectors is not None
        query = functional.embedding(users, self.user_vectors) @ self.query.T
        return (query * functional.embedding(items, self.item_vectors)).sum(-1) + self.popularity[items]

    def catalogue_choice_logits(self, users: Tensor, precision: Precision = "fp32") -> Tensor:
        """Return log P(chosen) of every item up to a constant per user: (B,) to (B, n_items)."""
        assert self.user_vectors is not None
        assert self.item_vectors is not None
        query = functional.embedding(users, self.user_vectors) @ self.query.T
        with torch.autocast(users.device.type, torch.bfloat16, enabled=precision == "bf16"):
            return torch.addmm(self.popularity, query, self.item_vectors.T).float()

    def with_users(self, table: Tensor) -> "JointScorer":
        """Return this scorer for other users; see `Scorer.with_users`."""
        base = super().with_users(table)
        return JointScorer(base, self.query, self.popularity, self.threshold, self.relevance_weight)


class ChoiceScorer(Scorer):
    """The part of a `JointScorer` that scores which items a user chooses; it shares the tables of that.

    Args:
        scorer: the scorer.
    """

    def __init__(self, scorer: JointScorer) -> None:
        super().__init__(scorer.n_users, scorer.n_items, scorer.scale, predicts_ratings=False)
        self.scorer = scorer

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Return log P(chosen) up to a constant per user: (B,) and (B,) to (B,)."""
        return self.scorer.choice_logits(users, items)

    def user_table(self) -> Tensor:
        """Return vectors and bias of each user side by side, (n_users, w)."""
        return self.scorer.user_table()

    def with_users(self, table: Tensor) -> "ChoiceScorer":
        """Return a scorer for other users; see `Scorer.with_users`."""
        return ChoiceScorer(self.scorer.with_users(table))


class JointRanker(Scorer):
    """The scores by which a `JointScorer` ranks items; it shares the tables of that.

    Args:
        scorer: predicts the ratings.
        choices: predicts the choices; the same scorer, or for new users a copy with other vectors of these users.
    """

    def __init__(self, scorer: JointScorer, choices: JointScorer) -> None:
        super().__init__(scorer.n_users, scorer.n_items, scorer.scale, predicts_ratings=False)
        self.scorer, self.choices = scorer, choices

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Return scores: (B,) and (B,) to (B,)."""
        relevance = self._log_relevance(self.scorer.logits(users, items))
        return self.choices.choice_logits(users, items) + self.scorer.relevance_weight * relevance

    @torch.no_grad()
    def score_catalogue(self, users: Tensor, precision: Precision = "fp32") -> Tensor:
        """Return every item's score for each user: (B,) to (B, n_items)."""
        chosen, relevance = self.parts(users, precision)
        return chosen.add_(relevance.mul_(self.scorer.relevance_weight))

    @torch.no_grad()
    def parts(self, users: Tensor, precision: Precision = "fp32") -> tuple[Tensor, Tensor]:
        """Return log P(chosen), up to a constant per user, and log P(relevant) of every item: (B,) to (B, n_items)."""
        relevance = self._log_relevance(self.scorer.catalogue_logits(users, precision))
        return self.choices.catalogue_choice_logits(users, precision), relevance

    def user_table(self) -> Tensor:
        """Return vectors and bias of each user side by side, (n_users, w)."""
        return self.scorer.user_table()

    def with_users(self, table: Tensor) -> "JointRanker":
        """Return a ranker for other users, whose rows are used for ratings and choices; see `Scorer.with_users`."""
        return self.scorer.with_users(table).ranker()

    def _log_relevance(self, logits: Tensor) -> Tensor:
        return self.scorer.head.log_relevance(logits, self.scorer.threshold)  # type: ignore[operator]


def make_joint_scorer(base: TableScorer, choice: ChoiceHead, threshold: float | None) -> JointScorer:
    """Return a scorer with copies of what a choice head has learned; `base` already consists of copies."""
    parts = choice.query.weight, choice.popularity(), choice.relevance_weight
    query, popularity, relevance_weight = (part.detach().clone() for part in parts)
    scorer = JointScorer(base, query, popularity, threshold, relevance_weight)
    return scorer.eval().requires_grad_(False)
