"""Share of a training step that the kernels of recsys/models/ops save, compared with plain torch.

    python benchmarks/kernels.py
    python benchmarks/kernels.py --batch-size 2000 --repeats 3

A step is forward, backward and optimizer, without Lightning, on one thread. Networks have the sizes of
model=history and of experiment=embedding-net (features left out). Random ratings have the shape of ML-100K or
ML-1M, with log-normal activity of users and popularity of items. Steps with and without a kernel alternate in
one process. Times are CPU time, so that other processes matter less; a share is the median over the rounds.
"""

import argparse
import itertools
import os
import time
from collections.abc import Callable
from statistics import median
from typing import Any
from unittest.mock import patch

# As the commands do: idle OpenMP threads that spin slow a shared machine down. torch reads this when it is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# isort: split
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from recsys.data.batches import Batch
from recsys.models import histories
from recsys.models.base import RatingNetwork
from recsys.models.embedding_net import EmbeddingNet
from recsys.models.hybrid import HybridNet
from recsys.models.ops.dropout import Dropout
from recsys.models.ops.embedding_bag import BagIndex
from recsys.models.ops.mlp import MLP
from recsys.training.memory import reuse_freed_memory

SHAPES = {"ml-100k": (943, 1_682, 90_000), "ml-1m": (6_040, 3_706, 800_000)}  # users, items, ratings
SCALE, RATING_VALUES, MEAN = (1, 5), [1, 2, 3, 4, 5], 3.5


def random_ratings(users: int, items: int, ratings: int) -> Batch:
    """Return ratings of distinct pairs in random order."""
    random = np.random.default_rng(0)
    activity, popularity = np.minimum(random.lognormal(0, 1.1, users), 15), random.lognormal(0, 1.3, items)
    user = random.choice(users, 2 * ratings, p=activity / activity.sum())
    item = random.choice(items, 2 * ratings, p=popularity / popularity.sum())
    pairs = random.permutation(np.unique(user * items + item))[:ratings]
    columns = (pairs // items).astype(np.int32), (pairs % items).astype(np.int32)
    values = random.integers(1, 6, len(pairs)).astype(np.float32)
    return Batch(*(torch.from_numpy(column) for column in (*columns, values)))


def history(users: int, items: int, ratings: Batch) -> RatingNetwork:
    """Return the network of model=history without features."""
    network = HybridNet(
        users,
        items,
        SCALE,
        MEAN,
        RATING_VALUES,
        embedding_dropout=0.7,
        user={"history": True},
        head="ordinal",
    )
    columns = ratings.users.numpy(), ratings.items.numpy(), ratings.ratings.numpy() - MEAN
    assert network.user_encoder.history is not None
    network.user_encoder.history.set_ratings(*columns, users)
    return network


def embedding_net(users: int, items: int, ratings: Batch) -> RatingNetwork:
    """Return the network of experiment=embedding-net."""
    return EmbeddingNet(users, items, SCALE, MEAN, embedding_dim=32, hidden=[64], embedding_dropout=0.6)


def plain_dropout(module: Dropout, x: Tensor) -> Tensor:
    """Return `x` after torch's dropout."""
    return functional.dropout(x, module.p, module.training)


def plain_bag_sums(table: Tensor, bags: BagIndex, weights: Tensor | None = None) -> Tensor:
    """Return the sums of bags with torch's own gradient."""
    return functional.embedding_bag(bags.indices, table, bags.offsets, mode="sum", per_sample_weights=weights)


Network = Callable[[int, int, Batch], RatingNetwork]
PLAIN_MLP = [(MLP, "forward", nn.Sequential.forward), (Dropout, "forward", plain_dropout)]
KERNELS: dict[str, tuple[Network, list[Any]]] = {  # the network, and patches that make it plain torch
    "history: embedding_bag": (history, [(histories, "bag_sums", plain_bag_sums)]),
    "history: dropout": (history, PLAIN_MLP),
    "embedding-net: dropout": (embedding_net, PLAIN_MLP),
}


class Steps:
    """Training steps of a network.

    Args:
        network: to train.
        ratings: to train on.
        batch_size: ratings per step.
    """

    def __init__(self, network: RatingNetwork, ratings: Batch, batch_size: int) -> None:
        self.network, self.ratings, self.batch_size = network, ratings, batch_size
        self.starts = itertools.cycle(range(0, len(ratings.ratings) - batch_size + 1, batch_size))
        self.optimizer = torch.optim.AdamW(network.parameters(), fused=True)

    def milliseconds(self, steps: int, patches: list[Any]) -> float:
        """Return the median CPU time of a step while attributes are patched."""
        for target in patches:
            patch.object(*target).start()
        seconds = []
        for _ in range(steps + 2):
            start = next(self.starts)
            batch = Batch(*(column[start : start + self.batch_size] for column in self.ratings))
            begin = time.process_time()
            self.optimizer.zero_grad()
            self.network.loss(batch.users, batch.items, batch.ratings).backward()
            self.optimizer.step()
            seconds.append(time.process_time() - begin)
        patch.stopall()
        return 1000 * median(seconds[2:])


def main() -> None:
    """Measure all kernels and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--batch-size", type=int, default=1000, help="ratings per step (%(default)s)")
    parser.add_argument("--steps", type=int, default=10, help="steps per round and variant (%(default)s)")
    parser.add_argument("--repeats", type=int, default=15, help="rounds (%(default)s)")
    parser.add_argument("--shapes", nargs="+", choices=list(SHAPES), default=list(SHAPES))
    args = parser.parse_args()
    torch.set_num_threads(1)
    reuse_freed_memory()
    print(f"torch {torch.__version__}; batches of {args.batch_size}, milliseconds per step\n")
    print(f"{'shape':<10}{'kernel':<26}{'torch':>9}{'kernel':>9}{'saved':>9}{'lowest':>9}{'highest':>9}")
    for shape in args.shapes:
        users, items, n_ratings = SHAPES[shape]
        ratings = random_ratings(users, items, n_ratings)
        for name, (make_network, baseline) in KERNELS.items():
            steps = Steps(make_network(users, items, ratings), ratings, args.batch_size)
            rounds = [
                [steps.milliseconds(args.steps, patches) for patches in (baseline, [])]
                for _ in range(args.repeats)
            ]
            plain, ours = (median(column) for column in zip(*rounds, strict=True))
            saved = sorted(1 - after / before for before, after in rounds)
            shares = "".join(f"{value:>9.1%}" for value in (median(saved), saved[0], saved[-1]))
            print(f"{shape:<10}{name:<26}{plain:>9.2f}{ours:>9.2f}{shares}", flush=True)


if __name__ == "__main__":
    main()
