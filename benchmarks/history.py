"""A step of the default network beside the same with torch's own gradient of summed rows.

    python benchmarks/history.py
    python benchmarks/history.py --batch-size 2000 --repeats 3

Ratings are made up in the shape of ML-100K and ML-1M: who rates much, and what is rated much, by lognormal
weights. A step is forward, backward and optimizer, with the penalty on length as conf/train.yaml has it; no
Lightning. Rounds of both rows alternate in one process; a ratio is the median over the rounds. Operations
have one thread each, as in training.
"""

import argparse
import itertools
import time
from statistics import median
from unittest.mock import patch

import recsys  # noqa: F401  before torch: it keeps idle OpenMP threads from spinning

# isort: split
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from recsys.data.batches import Batch
from recsys.models.hybrid import NeuMF
from recsys.models.ops.embedding_bag import Bags
from recsys.training.losses import pointwise
from recsys.training.memory import reuse_freed_memory
from recsys.training.regularization import l2_per_occurrence

SHAPES = {"ml-100k": (943, 1_682, 90_000), "ml-1m": (6_040, 3_706, 800_000)}  # users, items, ratings
SCALE, LEVELS = (1, 5), [1, 2, 3, 4, 5]


def made_up(users: int, items: int, ratings: int) -> Batch:
    """Different pairs in an order drawn by chance."""
    random = np.random.default_rng(0)
    weight_u, weight_m = np.minimum(random.lognormal(0, 1.1, users), 15), random.lognormal(0, 1.3, items)
    user = random.choice(users, 2 * ratings, p=weight_u / weight_u.sum())
    item = random.choice(items, 2 * ratings, p=weight_m / weight_m.sum())
    pairs = random.permutation(np.unique(user * items + item))[:ratings]
    columns = (pairs // items).astype(np.int32), (pairs % items).astype(np.int32)
    values = random.integers(1, 6, len(pairs)).astype(np.float32)
    return Batch(*(torch.from_numpy(column) for column in (*columns, values)))


def torch_sum(bags: Bags, table: Tensor, weights: Tensor | None = None) -> Tensor:
    """`Bags.sum` with torch's own gradient."""
    return embedding_bag(bags.rows, table, bags.starts, mode="sum", per_sample_weights=weights)


class Steps:
    """A network in training, and what it is trained on."""

    def __init__(self, users: int, items: int, ratings: int, batch_size: int) -> None:
        self.all = made_up(users, items, ratings)
        self.starts = itertools.cycle(range(0, len(self.all.ratings) - batch_size + 1, batch_size))
        self.batch_size = batch_size
        self.network = NeuMF(users, items, SCALE, 3.5, LEVELS, history=True, head="ordinal")
        self.network.has_facts = True
        assert self.network.history is not None
        rows = self.all.users.numpy(), self.all.items.numpy(), self.all.ratings.numpy() - 3.5
        self.network.history.remember(*rows, users)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), fused=True)

    def milliseconds(self, steps: int) -> float:
        """Of a step, the median."""
        seconds = []
        for _ in range(steps + 2):
            start = next(self.starts)
            batch = Batch(*(column[start : start + self.batch_size] for column in self.all))
            begin = time.perf_counter()
            self.optimizer.zero_grad()
            loss = pointwise(self.network, batch, None)
            (loss + l2_per_occurrence(self.network, batch, 0.05, 0.01)).backward()
            self.optimizer.step()
            seconds.append(time.perf_counter() - begin)
        return 1000 * median(seconds[2:])


def main() -> None:
    """Measure both shapes and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--batch-size", type=int, default=1000, help="(%(default)s)")
    parser.add_argument("--steps", type=int, default=30, help="of a measurement (%(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="rounds (%(default)s)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    reuse_freed_memory()
    print(f"torch {torch.__version__}; batches of {args.batch_size}, milliseconds of a step\n")
    print(f"{'shape':<10}{'torch':>9}{'recsys':>9}{'lowest':>9}{'highest':>9}{'x faster':>10}")
    for name, shape in SHAPES.items():
        steps, theirs, ours = Steps(*shape, args.batch_size), [], []
        for _ in range(args.repeats):
            with patch.object(Bags, "sum", torch_sum):
                theirs.append(steps.milliseconds(args.steps))
            ours.append(steps.milliseconds(args.steps))
        ratio = median(their / our for their, our in zip(theirs, ours, strict=True))
        told = "".join(f"{value:>9.2f}" for value in (median(theirs), median(ours), min(ours), max(ours)))
        print(f"{name:<10}{told}{ratio:>10.2f}")


if __name__ == "__main__":
    main()
