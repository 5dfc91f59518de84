"""Ranking metrics: how good the k items are that a user is shown first, out of the full catalogue.

For every user with a relevant item in a part (one rated at or over a threshold), all items are ranked
except those the user has rated in an earlier part: train for val; train and val for test. Nothing is sampled:
metrics over a sample of the catalogue can order models the other way round (Krichene and Rendle 2020, "On
Sampled Metrics for Item Recommendation"). A item that the user has not rated counts as not relevant.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.data.splits import Split
from recsys.errors import ConfigError, DataError
from recsys.evaluation.objective import ranks
from recsys.models.base import RatingNetwork
from recsys.models.scoring import Seen, rank

log = logging.getLogger(__name__)

EARLIER: dict[str, tuple[str, ...]] = {"train": (), "val": ("train",), "test": ("train", "val")}


def relevant_from(threshold: float | None, scale: Sequence[float]) -> float:
    """The lowest rating that is relevant: the given one, or three quarters up the scale (4 of 1 to 5)."""
    return scale[0] + 0.75 * (scale[1] - scale[0]) if threshold is None else float(threshold)


@dataclass(frozen=True, eq=False)
class RankingTask:
    """Whom to show k items, what of it counts, and what they have seen.

    Attributes:
        part: "train", "val" or "test".
        k: how many items each user is shown.
        threshold: the lowest rating that is relevant.
        users: int64 (U,); rows of the users with a relevant item in the part, ascending.
        relevant: int64 (R,); their relevant items as (number in `users`) * n_items + item row, ascending.
        counts: int64 (U,); how many relevant items each has.
        seen: what each user has rated in earlier parts.
        raters: int64 (n_items,); how many users have rated each item in training.
        trained_users: how many users have training ratings.
    """

    part: str
    k: int
    threshold: float
    users: NDArray[np.int64]
    relevant: NDArray[np.int64]
    counts: NDArray[np.int64]
    seen: Seen
    raters: NDArray[np.int64]
    trained_users: int

    @classmethod
    def of(
        cls, dataset: Dataset, split: Split, part: str, k: int, threshold: float | None = None
    ) -> "RankingTask":
        """The task of one part.

        Args:
            dataset: the ratings.
            split: their parts.
            part: "train", "val" or "test".
            k: how many items; from 1.
            threshold: the lowest rating that is relevant; None: see `relevant_from`.

        Raises:
            DataError: no rating of the part is relevant.
        """
        least, n_items = relevant_from(threshold, dataset.scale), len(dataset.item_ids)
        rows = getattr(split, part)
        rows = rows[dataset.ratings[rows] >= least]
        if len(rows) == 0:
            low, high = dataset.scale
            raise DataError(
                f"ranking.threshold={least:g}: no rating of the {part} part is that high (scale {low:g} to "
                f"{high:g}); a lower ranking.threshold, or ranking.k=0 for no ranking metrics"
            )
        users, number, counts = np.unique(dataset.users[rows], return_inverse=True, return_counts=True)
        relevant = np.sort(number.astype(np.int64) * n_items + dataset.items[rows])
        earlier = [getattr(split, name) for name in EARLIER[part]]
        before = np.concatenate(earlier) if earlier else np.empty(0, dtype=np.int64)
        return cls(
            part=part,
            k=k,
            threshold=least,
            users=users.astype(np.int64),
            relevant=relevant,
            counts=counts,
            seen=Seen.of(dataset.users[before], dataset.items[before], len(dataset.user_ids)),
            raters=np.bincount(dataset.items[split.train], minlength=n_items),
            trained_users=len(np.unique(dataset.users[split.train])),
        )

    def measure(self, network: RatingNetwork) -> dict[str, float]:
        """Metrics of a network's own lists, dropout off, on its own device; see `metrics`."""
        was_training = network.training
        network.eval()
        scores, items = rank(network, self.users, self.k, self.seen)
        network.train(was_training)
        return self.metrics(np.where(np.isfinite(scores), items, -1))

    def metrics(self, lists: NDArray[np.int64]) -> dict[str, float]:
        """Metrics of lists, each the mean over the users except for coverage.

        With h_i = 1 where the i-th item of a user's list is relevant and 0 elsewhere, and R relevant items:

        - recall@k: sum h_i / R, a share. Precision@k: sum h_i / k, a share, also where a list is shorter.
          Hit@k: 1 if any h_i is 1. (Manning, Raghavan and Schütze 2008, Introduction to Information
          Retrieval, chapter 8.)
        - mrr@k: 1 / (the place of the first relevant item), 0 without one (same chapter; Voorhees 1999).
        - ndcg@k: sum h_i / log2(i + 1), over what the best list would have: that sum with
          h_1 = ... = h_min(R, k) = 1 (Järvelin and Kekäläinen 2002). From 0 to 1.
        - coverage@k: the share of the catalogue that is in anybody's list (Ge, Delgado-Battenfeld and Jannach
          2010, catalogue coverage).
        - novelty@k: the mean self-information of a list's items in bits, -log2(share of the training users
          who rated it) (Zhou et al. 2010, PNAS 107(10)). A item that nobody has rated counts as rated once.

        Args:
            lists: item rows (U, at most k), in the order of `users`, best first, no item twice; -1 where a
                list has ended.

        Returns:
            {"<part>/recall@<k>": ..., ...}.
        """
        n_users, n_items = len(self.users), len(self.raters)
        shown = lists >= 0
        keys = np.where(shown, np.arange(n_users)[:, None] * n_items + lists, -1)
        places = np.searchsorted(self.relevant, keys).clip(max=len(self.relevant) - 1)
        hits = self.relevant[places] == keys  # (U, <= k)
        found = hits.sum(1)
        gains = 1 / np.log2(np.arange(2, self.k + 2))
        ideal = gains.cumsum()[self.counts.clip(max=self.k) - 1]
        bits = np.log2(self.trained_users / self.raters.clip(min=1))
        values = {
            "ndcg": (hits @ gains[: hits.shape[1]] / ideal).mean(),
            "recall": (found / self.counts).mean(),
            "precision": found.mean() / self.k,
            "mrr": (hits.any(1) / (hits.argmax(1) + 1)).mean(),
            "hit": hits.any(1).mean(),
            "coverage": len(np.unique(lists[shown])) / n_items,
            "novelty": (np.where(shown, bits[lists], 0).sum(1) / shown.sum(1).clip(min=1)).mean(),
        }
        return {f"{self.part}/{name}@{self.k}": float(value) for name, value in values.items()}


def ranking_task(
    dataset: Dataset, split: Split, part: str, k: int, threshold: float | None, needed: bool = False
) -> RankingTask | None:
    """`RankingTask.of`, or None where k is 0 or, as the log tells then, nothing in the part is relevant.

    Raises:
        ConfigError: k is more than there are items.
        DataError: nothing is relevant, and the task is needed.
    """
    if k == 0:
        return None
    if k > (there := len(dataset.item_ids)):
        raise ConfigError(f"ranking.k={k}: {dataset.name} has {there} items; ranking.k={min(10, there)}")
    try:
        return RankingTask.of(dataset, split, part, k, threshold)
    except DataError as problem:  # what somebody trains for ratings needs no lists
        if needed:
            raise
        log.warning("no ranking metrics: %s", problem)
        return None


def ranking_tasks(dataset: Dataset, split: Split, config: Mapping[str, Any]) -> dict[str, RankingTask | None]:
    """The tasks of "val" and "test" that a run's configuration asks for; see `ranking_task`."""
    k, threshold = config["ranking"]["k"], config["ranking"]["threshold"]
    return {part: ranking_task(dataset, split, part, k, threshold, ranks(config)) for part in ("val", "test")}
