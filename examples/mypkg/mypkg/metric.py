"""A metric: one number from the top k items of all users."""

import numpy as np

from recsys.evaluation import RankedLists, RankingMetric


class LongTail(RankingMetric):
    """The share of recommended items that are not among the most popular ones.

    Args:
        head: the share of the catalogue that counts as popular, by number of training ratings.
    """

    higher_is_better = True

    def __init__(self, head: float = 0.2) -> None:
        self.head = head

    def __call__(self, lists: RankedLists) -> float:
        """Return the share over the lists of all users."""
        popular = np.argsort(-lists.item_counts, kind="stable")[: int(self.head * len(lists.item_counts))]
        shown = lists.items[lists.items >= 0]
        return float(1 - np.isin(shown, popular).mean())
