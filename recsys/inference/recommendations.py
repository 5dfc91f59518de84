"""Tables of recommendations for several users; unknown users get the items with the highest biases."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recsys.data.biases import Biases
from recsys.inference.bias_fallback import top_items_by_bias
from recsys.inference.catalogue import Catalogue
from recsys.models.scorer import Precision, Scorer
from recsys.models.scoring import Seen, deviations_of_pairs, predict_pairs, top_items


def best_items(
    scorer: Scorer,
    catalogue: Catalogue,
    biases: Biases,
    users: NDArray[np.int32],
    k: int,
    seen: Seen | None,
    allowed: NDArray[np.bool_] | None,
    candidates: Precision,
) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """Return the k best items of each user; see `Recommender.recommend`.

    Args:
        scorer: predicts ratings, and has the ranker that orders the items.
        catalogue: the items.
        biases: of the training set, for unknown users.
        users: user indices (B,); -1 for an unknown user.
        k: number of items per user, at most.
        seen: the items that are left out for each user.
        allowed: bool (n_items,), items to choose from, or None for all.
        candidates: precision in which candidates are found.

    Returns:
        The table, and the position in `users` of each of its rows.
    """
    known = users >= 0
    values = np.empty((len(users), min(k, scorer.n_items)), dtype=np.float32)
    items = np.empty(values.shape, dtype=np.int64)
    ranker = scorer.ranker()
    values[known], items[known] = top_items(ranker, users[known], k, seen, allowed, candidates)
    if not known.all():
        values[~known], items[~known] = top_items_by_bias(biases, k, allowed)
    found = np.isfinite(values)
    position = np.repeat(np.arange(len(users)), found.sum(1))
    shown = values[found], items[found], users[position]
    return _table(scorer, catalogue, *shown, has_scores=ranker is not scorer), position


def _table(
    scorer: Scorer,
    catalogue: Catalogue,
    values: NDArray[np.float32],
    items: NDArray[np.int64],
    users: NDArray[np.int32],
    has_scores: bool,
) -> pd.DataFrame:
    """Return the table of n recommendations.

    Args:
        scorer: predicts ratings.
        catalogue: the items.
        values: what the items are ordered by (n,).
        items: item indices (n,).
        users: user indices (n,); -1 for an unknown user.
        has_scores: whether scores of a ranker, not predictions, order the items of known users.
    """
    known = users >= 0
    predictions, scores, deviations = values, None, np.full(len(values), np.nan, np.float32)
    if has_scores:
        predictions, scores = values.copy(), np.where(known, values, np.nan)
        predictions[known] = predict_pairs(scorer, users[known], items[known])
    if known.any():
        deviations[known] = deviations_of_pairs(scorer, users[known], items[known])
    has_deviations = bool(np.isfinite(deviations).any())
    return catalogue.table(
        items, predictions, scores=scores, deviations=deviations if has_deviations else None
    )
