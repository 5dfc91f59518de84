"""Small networks of every kind. A new kind of network is one line in NETWORKS."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from recsys.data.dataset import Dataset, encode
from recsys.data.splits import Split
from recsys.models.base import RatingNetwork
from recsys.models.bias import Bias
from recsys.models.embedding_net import EmbeddingNet
from recsys.models.hybrid import HybridNet
from recsys.models.matrix_factorization import MatrixFactorization

N_USERS, N_ITEMS = 12, 9
N_TRAIN = 60  # of 108 ratings; users 10 and 11 and item 0 have none


class OwnNetwork(RatingNetwork):
    """A network as a user of this project writes it: embeddings and `logits`, nothing else."""

    def __init__(self, n_users: int, n_items: int, scale: list[float], mean: float) -> None:
        super().__init__(n_users, n_items, scale, mean)
        self.user_taste = nn.Embedding(n_users, 3)
        self.item_taste = nn.Embedding(n_items, 3)
        self.user_mood = nn.Embedding(n_users, 1)
        self.mix = nn.Linear(6, 1)
        for table in (self.user_taste, self.item_taste, self.user_mood):
            nn.init.normal_(table.weight, std=0.1)

    def logits(self, users: Tensor, items: Tensor) -> Tensor:
        user, item = self.user_taste(users), self.item_taste(items)
        scores = self.mix(torch.cat([user * item, (user - item).square()], dim=1))
        return (scores + self.user_mood(users)).squeeze(-1)


FEATURES = {"features": True}
TERMS = {"history": True, "features": True}
NO_DROPOUT = {"dropouts": 0.0, "embedding_dropout": 0.0}
NETWORKS: dict[str, tuple[type[RatingNetwork], dict[str, Any]]] = {
    "bias": (Bias, {}),
    "matrix-factorization": (MatrixFactorization, {"embedding_dim": 8}),
    "matrix-factorization, ordinal": (MatrixFactorization, {"embedding_dim": 8, "head": "ordinal"}),
    "embedding-net": (EmbeddingNet, {"embedding_dim": 8, "hidden": [32], **NO_DROPOUT}),
    "embedding-net without hidden layers": (EmbeddingNet, {"embedding_dim": 8, "hidden": [], **NO_DROPOUT}),
    "embedding-net, three hidden layers": (
        EmbeddingNet,
        {"embedding_dim": 8, "hidden": [32, 16, 24], **NO_DROPOUT},
    ),
    "embedding-net, linear": (
        EmbeddingNet,
        {"embedding_dim": 8, "hidden": 16, "head": "linear", **NO_DROPOUT},
    ),
    "hybrid": (HybridNet, {"embedding_dim": 8, "hidden": 16, **NO_DROPOUT}),
    "hybrid with features": (
        HybridNet,
        {"embedding_dim": 8, "hidden": 16, "user": FEATURES, "item": FEATURES, **NO_DROPOUT},
    ),
    "hybrid with history": (HybridNet, {"embedding_dim": 8, "hidden": [], "user": {"history": True}}),
    "hybrid with history and features": (
        HybridNet,
        {"embedding_dim": 8, "hidden": 16, "user": TERMS, "item": TERMS, **NO_DROPOUT},
    ),
    "hybrid with choice": (
        HybridNet,
        {"embedding_dim": 8, "hidden": 16, "user": TERMS, "head": "ordinal", "choice": True, **NO_DROPOUT},
    ),
    "own network": (OwnNetwork, {}),
}


def all_pairs_dataset() -> Dataset:
    """Return one rating of each user for each item, the training ratings first; users and items have features."""
    random = np.random.default_rng(0)
    users, items = (index.ravel() for index in np.meshgrid(range(N_USERS), range(N_ITEMS), indexing="ij"))
    order = random.permutation(len(users))
    cold = (users[order] >= N_USERS - 2) | (items[order] == 0)
    order = order[np.argsort(cold, kind="stable")]
    ratings = pd.DataFrame({"user": users[order], "item": items[order], "timestamp": 0})
    ratings["rating"] = random.integers(1, 6, len(users))
    ratings.loc[:4, "rating"] = range(1, 6)  # each value occurs in the training set
    genres = ["Drama", "Comedy", "Comedy|Drama"] * (N_ITEMS // 3)
    item_table = pd.DataFrame(
        {"item": range(N_ITEMS), "title": "", "year": range(1990, 1999), "genres": genres}
    )
    user_table = pd.DataFrame({"user": range(N_USERS), "gender": "F", "occupation": "", "age": ""})
    user_table.loc[::2, ["gender", "occupation"]] = "M", "writer"
    return encode("all-pairs", ratings, item_table, (1, 5), user_table=user_table)


def all_pairs_data() -> SimpleNamespace:
    """Return `all_pairs_dataset` and a split whose training set has the first N_TRAIN rows."""
    dataset = all_pairs_dataset()
    rows = np.arange(len(dataset))
    return SimpleNamespace(dataset=dataset, split=Split(rows[:N_TRAIN], rows[N_TRAIN:84], rows[84:]))


def build_network(name: str) -> RatingNetwork:
    """Build a network of NETWORKS for `all_pairs_data`, the same in each call."""
    torch.manual_seed(0)
    network_class, options = NETWORKS[name]
    return network_class.from_data(all_pairs_data(), **options)


def randomise(network: RatingNetwork) -> None:
    """Draw all weights anew, so that no table is zero; thresholds of ordinal heads stay, for they are ordered."""
    for name, parameter in network.named_parameters():
        if "thresholds" not in name:
            nn.init.normal_(parameter, std=0.5)


def all_pairs() -> tuple[Tensor, Tensor]:
    """Return user indices and item indices of all pairs, ordered by user: int32 (108,) each."""
    grid = torch.cartesian_prod(
        torch.arange(N_USERS, dtype=torch.int32), torch.arange(N_ITEMS, dtype=torch.int32)
    )
    return grid[:, 0], grid[:, 1]
