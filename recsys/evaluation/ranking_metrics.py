"""Ranking metrics of top-k recommendations, with the full catalogue ranked.

Users are those with a relevant item in the subset, that is, one rated at or above a threshold. For each of them all
items are ranked, except those that the user rated in an earlier subset: train for val; train and val for test.
Nothing is sampled: metrics on a sample of the catalogue can reverse the order of models (Krichene and Rendle 2020,
"On Sampled Metrics for Item Recommendation"). Items that the user has not rated count as not relevant.
"""

import logging
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from recsys.data.batches import present
from recsys.data.dataset import Dataset
from recsys.data.splits import Split
from recsys.errors import ConfigError, DataError
from recsys.evaluation.added_metrics import NO_METRICS, AddedMetrics
from recsys.evaluation.ranked_lists import RankedLists
from recsys.models.heads import relevance_threshold
from recsys.models.scorer import Scorer
from recsys.models.scoring import Seen, top_items

log = logging.getLogger(__name__)

EARLIER: dict[str, tuple[str, ...]] = {"train": (), "val": ("train",), "test": ("train", "val")}


@dataclass(frozen=True, eq=False)
class RankingTask:
    """Which users get recommendations, which items are relevant to them, and which they have seen.

    Attributes:
        subset: "train", "val" or "test".
        k: number of recommendations per user.
        threshold: the lowest relevant rating.
        users: int64 (U,); indices of the users with a relevant item in the subset, ascending.
        relevant: int64 (R,); relevant items as (position in `users`) * n_items + item index, ascending.
        counts: int64 (U,); number of relevant items of each user.
        seen: items that each user rated in earlier subsets.
        item_counts: int64 (n_items,); number of training ratings of each item.
        n_trained_users: number of users with training ratings.
    """

    subset: str
    k: int
    threshold: float
    users: NDArray[np.int64]
    relevant: NDArray[np.int64]
    counts: NDArray[np.int64]
    seen: Seen
    item_counts: NDArray[np.int64]
    n_trained_users: int

    @classmethod
    def of(
        cls, dataset: Dataset, split: Split, subset: str, k: int, threshold: float | None = None
    ) -> "RankingTask":
        """Build the task of a subset.

        Args:
            dataset: the ratings.
            split: their subsets.
            subset: "train", "val" or "test".
            k: number of recommendations per user, at least 1.
            threshold: the lowest relevant rating; None: see `relevance_threshold`.

        Raises:
            DataError: no rating of the subset is relevant.
        """
        lowest, n_items = relevance_threshold(threshold, dataset.scale), len(dataset.item_ids)
        rows = getattr(split, subset)
        rows = rows[dataset.ratings[rows] >= lowest]
        if len(rows) == 0:
            low, high = dataset.scale
            raise DataError(
                f"ranking.threshold={lowest:g}: no rating of the {subset} set is that high (scale {low:g} to "
                f"{high:g}); use a lower ranking.threshold, or ranking.k=0 for no ranking metrics"
            )
        users, position, counts = np.unique(dataset.users[rows], return_inverse=True, return_counts=True)
        relevant = np.sort(position.astype(np.int64) * n_items + dataset.items[rows])
        earlier = [getattr(split, name) for name in EARLIER[subset]]
        before = np.concatenate(earlier) if earlier else np.empty(0, dtype=np.int64)
        return cls(
            subset=subset,
            k=k,
            threshold=lowest,
            users=users.astype(np.int64),
            relevant=relevant,
            counts=counts,
            seen=Seen.of(dataset.users[before], dataset.items[before], len(dataset.user_ids)),
            item_counts=np.bincount(dataset.items[split.train], minlength=n_items),
            n_trained_users=int(present(dataset.users[split.train], len(dataset.user_ids)).sum()),
        )

    def limited_to(self, n_users: int) -> "RankingTask":
        """Return the same task for at most this many of its users, evenly spaced."""
        if n_users >= len(self.users):
            return self
        n_items = len(self.item_counts)
        kept = np.linspace(0, len(self.users) - 1, n_users).astype(np.int64)
        position = np.full(len(self.users), -1)
        position[kept] = np.arange(n_users)
        owner = position[self.relevant // n_items]
        relevant = owner[owner >= 0] * n_items + self.relevant[owner >= 0] % n_items
        return replace(self, users=self.users[kept], counts=self.counts[kept], relevant=relevant)

    def measure(self, scorer: Scorer, added: AddedMetrics = NO_METRICS) -> dict[str, float]:
        """Return the metrics of the top k of a scorer, as its ranker orders them; see `metrics`."""
        scores, items = top_items(scorer.ranker(), self.users, self.k, self.seen)
        return self.metrics(np.where(np.isfinite(scores), items, -1), added)  # -inf: no unseen item is left

    def metrics(self, recommended: NDArray[np.int64], added: AddedMetrics = NO_METRICS) -> dict[str, float]:
        """Return the metrics of recommendations: coverage over all users, the others as means over users.

        With h_i = 1 if the item at rank i is relevant and 0 otherwise, and R relevant items:

        - recall@k: sum h_i / R. precision@k: sum h_i / k, also if fewer items are recommended. hit@k: 1 if
          any h_i is 1. (Manning, Raghavan and Schütze 2008, Introduction to Information Retrieval, chapter 8.)
        - mrr@k: 1 / (rank of the first relevant item), 0 without one (same chapter; Voorhees 1999).
        - ndcg@k: DCG = sum h_i / log2(i + 1), divided by the DCG of the ideal ranking, which has min(R, k) relevant
          items first (Järvelin and Kekäläinen 2002). From 0 to 1.
        - coverage@k: share of the catalogue that is recommended to at least one user (Ge, Delgado-Battenfeld
          and Jannach 2010, catalogue coverage).
        - novelty@k: mean self-information of the recommended items in bits, -log2(share of training users who
          rated the item) (Zhou et al. 2010, PNAS 107(10)). Items without training ratings count as rated once.

        Args:
            recommended: item indices (U, at most k) in the order of `users`, best first, without duplicates;
                -1 where there are no more recommendations.
            added: further ranking metrics.

        Returns:
            {"<subset>/recall@<k>": ..., ...}.
        """
        n_users, n_items = len(self.users), len(self.item_counts)
        valid = recommended >= 0
        # A pair of user and item is one integer, so that relevance is a binary search in the sorted `relevant`.
        keys = np.where(valid, np.arange(n_users)[:, None] * n_items + recommended, -1)
        positions = np.searchsorted(self.relevant, keys).clip(max=len(self.relevant) - 1)
        hits = self.relevant[positions] == keys  # (U, <= k)
        n_hits = hits.sum(1)
        gains = 1 / np.log2(np.arange(2, self.k + 2))
        ideal = gains.cumsum()[self.counts.clip(max=self.k) - 1]
        bits = np.log2(self.n_trained_users / self.item_counts.clip(min=1))
        values = {
            "ndcg": (hits @ gains[: hits.shape[1]] / ideal).mean(),
            "recall": (n_hits / self.counts).mean(),
            "precision": n_hits.mean() / self.k,
            "mrr": (hits.any(1) / (hits.argmax(1) + 1)).mean(),
            "hit": hits.any(1).mean(),
            "coverage": len(np.unique(recommended[valid])) / n_items,
            "novelty": (np.where(valid, bits[recommended], 0).sum(1) / valid.sum(1).clip(min=1)).mean(),
        }
        named = {f"{name}@{self.k}": float(value) for name, value in values.items()}
        lists = RankedLists(
            self.k, self.users, recommended, hits, self.counts, self.item_counts, self.n_trained_users
        )
        return {f"{self.subset}/{name}": value for name, value in (named | added.measure(lists)).items()}


def ranking_task(
    dataset: Dataset, split: Split, subset: str, k: int, threshold: float | None, required: bool = False
) -> RankingTask | None:
    """Return `RankingTask.of`, or None without ranking metrics.

    It is None if k is 0, and, with a warning, if no rating is relevant and `required` is false.

    Args:
        dataset: the ratings.
        split: their subsets.
        subset: "train", "val" or "test".
        k: number of recommendations per user; 0: no ranking metrics.
        threshold: the lowest relevant rating; None: see `relevance_threshold`.
        required: whether a subset without relevant ratings is an error, as for a ranking loss.

    Raises:
        ConfigError: k is larger than the number of items.
        DataError: nothing is relevant, and the task is required.
    """
    if k == 0:
        return None
    if k > (n_items := len(dataset.item_ids)):
        raise ConfigError(
            f"ranking.k={k}: {dataset.name} has {n_items} items; use at most ranking.k={n_items}"
        )
    try:
        return RankingTask.of(dataset, split, subset, k, threshold)
    except DataError as error:  # rating losses do not need ranking metrics
        if required:
            raise
        log.warning("no ranking metrics: %s", error)
        return None


def ranking_tasks(
    dataset: Dataset, split: Split, k: int, threshold: float | None, required: bool = False
) -> dict[str, RankingTask | None]:
    """Return the tasks of "val" and "test"; see `ranking_task`."""
    return {
        subset: ranking_task(dataset, split, subset, k, threshold, required) for subset in ("val", "test")
    }
