"""The weight w in the ranking score of a `JointScorer`, selected on the validation set."""

import torch
from torch import Tensor

from recsys.evaluation.ranking_metrics import RankingTask
from recsys.models.choice import JointScorer
from recsys.models.scorer import Precision, Scorer

WEIGHTS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)  # of log P(relevant), next to log P(chosen) with weight 1


def best_relevance_weight(scorer: JointScorer, task: RankingTask) -> tuple[float, dict[str, float]]:
    """Return the weight with the highest NDCG, and the ranking metrics with it.

    Args:
        scorer: the scorer; it is not changed.
        task: users and relevant items of the validation set. The scores of all its users are in memory at once.
    """
    users = torch.from_numpy(task.users).to(scorer.device)
    chosen, relevance = scorer.ranker().parts(users)
    metrics = {
        weight: task.measure(PrecomputedScores(users, torch.add(chosen, relevance, alpha=weight)))
        for weight in WEIGHTS
    }
    best = max(WEIGHTS, key=lambda weight: metrics[weight][f"{task.subset}/ndcg@{task.k}"])
    return best, metrics[best]


class PrecomputedScores(Scorer):
    """Returns scores that were computed before, so that several weights cost one computation of the scores.

    Only `score_catalogue` is implemented.

    Args:
        users: user indices (U,), ascending.
        scores: those of all items for each of these users, (U, n_items).
    """

    def __init__(self, users: Tensor, scores: Tensor) -> None:
        super().__init__(int(users[-1]) + 1, scores.shape[1], (0, 1), predicts_ratings=False)
        self.register_buffer("users", users)
        self.register_buffer("scores", scores)

    def score_catalogue(self, users: Tensor, precision: Precision = "fp32") -> Tensor:
        """Return every item's score for each of the users: (B,) to (B, n_items)."""
        positions = torch.searchsorted(self.users, users)  # type: ignore[arg-type]
        return self.scores[positions]  # type: ignore[index]
