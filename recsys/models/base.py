"""RatingNetwork: the base class of all networks that are trained."""

import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from recsys.data.batches import present
from recsys.data.dataset import Dataset
from recsys.data.splits import Rows, Split
from recsys.errors import ConfigError
from recsys.models.choice import ChoiceHead
from recsys.models.features import item_features, user_features
from recsys.models.heads import Head, OrdinalHead, distinct_ratings, make_head
from recsys.models.network_scorer import NetworkScorer
from recsys.models.scorer import Scorer, Side

NO_CHOICE_HEAD = (
    "does not learn which items users choose; use model=history or model=neumf (in Python, HybridNet with "
    "choice=True), or loss=pointwise"
)


class SplitData(Protocol):
    """A dataset and its split, such as a `MovieLensDataModule` after `setup`."""

    dataset: Dataset
    split: Split


class RatingNetwork(nn.Module):
    """A network from user indices and item indices to ratings.

    A subclass implements `logits` (or `forward`, if none of the heads fits) and keeps one row per user in
    `nn.Embedding`s whose attribute names start with `user_`, one row per item in those that start with `item_`.
    Training, cold start, checkpoints, recommendation and fold-in rely on this contract only. A subclass may override
    `tables` if its embeddings are stored elsewhere, `scorer` (and `empty_scorer`) for faster scoring of full
    catalogues, and `setup_from_data` for constants taken from the training set.
    A subclass of a network with its own `scorer` that changes `logits` must also override `scorer`, because the
    inherited one computes the scores of the inherited `logits`.

    Args:
        n_users: number of users.
        n_items: number of items.
        scale: the lowest and the highest rating.
        mean: the mean rating of the training set.
        rating_values: the distinct ratings, ascending; needed by head="ordinal".
        head: from scores to ratings: "linear" (mean + score), "sigmoid", "ordinal" or "auto"; see `make_head`.
        margin: how far a sigmoid extends beyond the scale, in rating points.
    """

    trained_users: Tensor | None = None  # bool (n_users,): has ratings in the training set
    trained_items: Tensor | None = None  # bool (n_items,)
    arguments: dict[str, Any] | None = None  # of the constructor, as `from_data` passed them

    def __init__(
        self,
        n_users: int,
        n_items: int,
        scale: Sequence[float],
        mean: float,
        rating_values: Sequence[float] = (),
        head: Head = "linear",
        margin: float = 0.5,
    ) -> None:
        super().__init__()
        self.n_users, self.n_items = n_users, n_items
        self.scale = (float(scale[0]), float(scale[1]))
        self.mean = float(mean)
        self.head = make_head(head, self.scale, self.mean, rating_values, margin)
        self.choice: ChoiceHead | None = None  # learns which items users choose

    @classmethod
    def from_data(cls, data: SplitData, **options: Any) -> Self:
        """Build a network sized for the data, with constants from the training set.

        Args:
            data: a data module after `setup`, or anything with a `dataset` and a `split`.
            options: further arguments of the constructor.
        """
        facts = data_facts(data)
        accepted = inspect.signature(cls).parameters
        arguments = {name: fact() for name, fact in facts.items() if name in accepted} | options
        network = cls(**arguments)
        network.arguments = arguments
        network.setup_from_data(data.dataset, data.split.train)
        return network

    @property
    def name(self) -> str:
        """The name in result tables: "matrix-factorization" for the class MatrixFactorization."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])", "-", type(self).__name__).lower()

    def default_loss(self, has_ratings: bool) -> str:
        """Return which option of conf/loss loss=auto chooses for this network.

        Args:
            has_ratings: whether the data has ratings; otherwise, it has interactions.
        """
        return "pointwise" if has_ratings else "softmax"

    @property
    def is_static(self) -> bool:
        """Whether a training step has the same operations and sizes for all batches of one length.

        Only then can a step be captured as a CUDA graph (`hardware.cuda_graph`). A network of your own says so by
        returning True, if nothing in it depends on values that Python reads or changes during training.
        """
        return False

    def logits(self, users: Tensor, items: Tensor) -> Tensor:
        """Return scores, which the head converts to ratings: user and item indices (B,) to (B,)."""
        raise NotImplementedError("a network must implement logits(users, items) or forward(users, items)")

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Return ratings: user and item indices (B,) to float32 (B,), not clipped to the scale."""
        return self.head(self.logits(users, items).float())

    def loss(self, users: Tensor, items: Tensor, ratings: Tensor) -> Tensor:
        """Return the loss of predicting ratings, (B,) each, as a scalar.

        This is the mean squared error, or with head="ordinal" the negative log-likelihood.
        """
        if isinstance(self.head, OrdinalHead):
            return self.rating_loss(self.logits(users, items), ratings)
        return functional.mse_loss(self(users, items), ratings)

    def rating_loss(self, scores: Tensor, ratings: Tensor) -> Tensor:
        """Return the loss of predicting ratings (B,) from scores (B,), as a scalar; see `loss`."""
        if isinstance(self.head, OrdinalHead):
            return self.head.negative_log_likelihood(scores, ratings)
        return functional.mse_loss(self.head(scores.float()), ratings)

    def joint_losses(
        self, users: Tensor, items: Tensor, ratings: Tensor, negatives: int
    ) -> tuple[Tensor, Tensor]:
        """Return the loss of predicting ratings, and that of predicting which items were rated, as scalars.

        Args:
            users: user indices (B,).
            items: item indices (B,).
            ratings: (B,).
            negatives: the largest number of other items that an item is compared with.

        Raises:
            ConfigError: the network does not learn which items users choose.
        """
        raise ConfigError(f"loss=joint: {type(self).__name__} {NO_CHOICE_HEAD}")

    def setup_from_data(self, dataset: Dataset, train: Rows) -> None:
        """Take constants from the training set; a method that overrides this one must call it.

        Args:
            dataset: all ratings, the item table and the user table.
            train: rows of the training set; no other rating may be read.
        """
        self.trained_users = present(dataset.users[train], self.n_users)
        self.trained_items = present(dataset.items[train], self.n_items)

    def scorer(self, predicts_ratings: bool = True) -> Scorer:
        """Return a scorer with copies of the weights as they are now.

        Args:
            predicts_ratings: whether the loss trains ratings, or scores that only order items.
        """
        return NetworkScorer(self, predicts_ratings)

    def empty_scorer(self, predicts_ratings: bool = True) -> Scorer:
        """Return a scorer of the right shapes, into which saved weights are loaded; needs no training data."""
        return self.scorer(predicts_ratings)

    def tables(self, side: Side) -> dict[str, nn.Embedding]:
        """Return the trained embeddings of one side, "user" or "item", by attribute name."""
        return {
            name: module
            for name, module in self.named_children()
            if isinstance(module, nn.Embedding) and name.startswith(f"{side}_")
        }

    @torch.no_grad()
    def fill_untrained(self) -> None:
        """Set the embeddings of users and items without training ratings to the mean of those that have some.

        Rating losses never read these rows. Ranking losses do, because they sample items; the values learned for
        items without training ratings are overwritten here.
        """
        sides: tuple[tuple[Side, Tensor | None], ...] = (
            ("user", self.trained_users),
            ("item", self.trained_items),
        )
        for side, trained in sides:
            for table in self.tables(side).values() if trained is not None else ():
                assert trained is not None
                known = trained.to(table.weight.device)
                table.weight[~known] = table.weight[known].mean(0)

    def use_sparse_gradients(self) -> None:
        """Use sparse gradients for the tables of users and items: only the rows that a batch reads."""
        for side in ("user", "item"):
            for table in self.tables(side).values():
                table.sparse = True


def data_facts(data: SplitData) -> dict[str, Callable[[], Any]]:
    """Return what a network's constructor can take from the data, by argument name; computed when called."""
    dataset, train = data.dataset, data.split.train
    return {
        "n_users": lambda: len(dataset.user_ids),
        "n_items": lambda: len(dataset.item_ids),
        "scale": lambda: list(dataset.scale),
        "mean": lambda: float(dataset.ratings[train].mean(dtype="float64")),
        # Interactions have one rating value in any case: their numbers are not ratings.
        "rating_values": lambda: distinct_ratings(dataset.ratings[train]) if dataset.has_ratings else [1.0],
        "n_item_features": lambda: item_features(dataset).shape[1],
        "n_user_features": lambda: user_features(dataset).shape[1],
    }
