"""A scorer with users and items exchanged, so that what works for new users works for new items."""

from torch import Tensor

from recsys.models.scorer import Scorer


class TransposedScorer(Scorer):
    """The users of this scorer are the items of another one, and its items are the users of that.

    Args:
        scorer: the other scorer; nothing is copied.
    """

    def __init__(self, scorer: Scorer) -> None:
        super().__init__(scorer.n_items, scorer.n_users, scorer.scale, scorer.predicts_ratings)
        self.scorer = scorer

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the output for items (B,) as users, and users (B,) as items: (B,)."""
        return self.scorer(items, users)

    def user_table(self) -> Tensor:
        """Return all that describes each item of the other scorer, (n_users, w)."""
        return self.scorer.item_table()

    def with_users(self, table: Tensor) -> "TransposedScorer":
        """Return this scorer for other items of the other scorer; see `Scorer.with_users`."""
        return TransposedScorer(self.scorer.with_items(table))

    def item_table(self) -> Tensor:
        """Return all that describes each user of the other scorer, (n_items, w)."""
        return self.scorer.user_table()

    def with_items(self, table: Tensor) -> "TransposedScorer":
        """Return this scorer for other users of the other scorer; see `Scorer.with_items`."""
        return TransposedScorer(self.scorer.with_users(table))
