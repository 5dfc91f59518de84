"""Scorers: the part of a network that predicts.

Evaluation, ranking, fold-in, export and checkpoints use scorers only. A scorer owns copies of its tensors, needs
no training data, and behaves the same in train and eval mode except for dropout, which its constructor turns off.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

Side = Literal["user", "item"]
Precision = Literal["fp32", "bf16", "int8"]
PAIRS_PER_CHUNK = 1 << 16  # of a catalogue's scores computed at once: small enough for a processor's cache
GPU_PAIRS_PER_CHUNK = 1 << 22


class Scorer(nn.Module):
    """Scores user-item pairs and full catalogues.

    A subclass implements `forward`, `user_table`, `with_users`, `item_table` and `with_items`, and overrides
    `score_catalogue` where a full catalogue costs less than all its pairs.

    Args:
        n_users: number of users.
        n_items: number of items.
        scale: the lowest and the highest rating.
        predicts_ratings: whether outputs are on the rating scale. If not, they only order one user's items.
    """

    def __init__(
        self, n_users: int, n_items: int, scale: Sequence[float], predicts_ratings: bool = True
    ) -> None:
        super().__init__()
        self.n_users, self.n_items = n_users, n_items
        self.scale = (float(scale[0]), float(scale[1]))
        self.predicts_ratings = predicts_ratings

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Return unclipped scores: user indices (B,) and item indices (B,) to float32 (B,)."""
        raise NotImplementedError

    def predict(self, users: Tensor, items: Tensor) -> Tensor:
        """Return float32 ratings (B,) clipped to the scale, or raw scores if these are not ratings."""
        return self.clipped(self.unclipped(users, items))

    def unclipped(self, users: Tensor, items: Tensor) -> Tensor:
        """Return float32 outputs (B,), computed in float32 also within autocast."""
        with torch.autocast(users.device.type, enabled=False):
            return self(users, items).float()

    def clipped(self, outputs: Tensor) -> Tensor:
        """Return ratings clipped to the scale, and scores that are not ratings as they are."""
        return outputs.clamp(*self.scale) if self.predicts_ratings else outputs

    @torch.no_grad()
    def score_catalogue(self, users: Tensor, precision: Precision = "fp32") -> Tensor:
        """Return every item's score for each user: user indices (B,) to float32 (B, n_items), unclipped.

        Clipping would only create ties, so rankings use raw scores.

        Args:
            users: user indices.
            precision: of the matrix products; "int8" affects an MLP only and needs a CPU with VNNI.
        """
        every = torch.arange(self.n_items, dtype=users.dtype, device=users.device)
        scores = torch.empty(len(users), self.n_items, device=users.device)
        pairs_per_chunk = PAIRS_PER_CHUNK if users.device.type == "cpu" else GPU_PAIRS_PER_CHUNK
        chunk = max(1, pairs_per_chunk // max(1, len(users)))
        for items, out in zip(every.split(chunk), scores.split(chunk, dim=1), strict=True):
            pairs = users.repeat_interleave(len(items)), items.repeat(len(users))
            out.copy_(self(*pairs).view(len(users), len(items)))
        return scores

    def deviations(self, users: Tensor, items: Tensor) -> Tensor | None:
        """Return by how much the networks that are averaged disagree: (B,) and (B,) to (B,).

        Returns:
            The standard deviation of their outputs, clipped to the scale; None if there is only one network.
        """
        return None

    def relevance(self, users: Tensor, items: Tensor, threshold: float) -> Tensor | None:
        """Return P(rating >= threshold): (B,) and (B,) to (B,); None if the network does not predict probabilities."""
        return None

    def ranker(self, choice_rows: Tensor | None = None) -> "Scorer":
        """Return a scorer whose scores order the items that are recommended to a user; by default, this one.

        Args:
            choice_rows: the rows that predict which items users choose, (n_users, w) as in `user_table`; None: those
                of this scorer. Scorers that do not tell choices from ratings do not use it.
        """
        return self

    def choice_scorer(self) -> "Scorer | None":
        """Return a scorer whose scores are log P(chosen), up to a constant per user; None if ratings are all it knows.

        A loss that only orders items trains such scores.
        """
        return None if self.predicts_ratings else self

    def vectors(self, side: Side) -> Tensor | None:
        """Return the embedding vectors of all users or items, (n, d); None if there are only biases."""
        return None

    def biases(self, side: Side) -> Tensor | None:
        """Return the biases of all users or items in rating points, (n,); None if there are none."""
        return None

    def user_table(self) -> Tensor:
        """Return all that describes each user, (n_users, w): the space in which fold-in searches."""
        raise NotImplementedError

    def with_users(self, table: Tensor) -> "Scorer":
        """Return this scorer for other users, (m, w) as in `user_table`; all else is shared, not copied.

        Gradients flow back to `table`.
        """
        raise NotImplementedError

    def item_table(self) -> Tensor:
        """Return all that describes each item, (n_items, w)."""
        raise NotImplementedError

    def with_items(self, table: Tensor) -> "Scorer":
        """Return this scorer for other items, (m, w) as in `item_table`; see `with_users`."""
        raise NotImplementedError

    @property
    def device(self) -> torch.device:
        """The device of the tables."""
        return next(tensor.device for tensor in (*self.parameters(), *self.buffers()))
