"""Top-N recommendation from a full catalogue: the split first layer compared with `forward` of all pairs.

The size is that of ML-25M; weights are random. `direct` is `forward` of a user with the whole catalogue,
followed by the same top-k. `chunks` is the same in chunks of the fastest size, which fit the processor's
cache. All methods rank the same users in turn and their results are compared. `bf16` and `int8` find the
candidates in that precision; `same` is the share of items that have the same rank as in float32. Each x is
the speed relative to direct, the median over the rounds. Peak memory is that of the whole process.

    python benchmarks/scoring.py
    python benchmarks/scoring.py --hidden 100 --threads 1
"""

import argparse
import os
import time
from collections.abc import Callable
from functools import partial
from statistics import median

import numpy as np
import torch
from memory import peak_memory
from numpy.typing import NDArray
from torch import Tensor, nn

from recsys.models.base import RatingNetwork
from recsys.models.embedding_net import EmbeddingNet
from recsys.models.matrix_factorization import MatrixFactorization
from recsys.models.ops.int8 import int8_supported
from recsys.models.scorer import Precision, Scorer
from recsys.models.scoring import top_items

Ranked = tuple[NDArray[np.float32], NDArray[np.int64]]


class Direct(Scorer):
    """A scorer that scores the catalogue with a network's `forward`, one user after another.

    Args:
        network: in eval mode.
        chunk_items: items per chunk; None means all items.
    """

    def __init__(self, network: RatingNetwork, chunk_items: int | None = None) -> None:
        super().__init__(network.n_users, network.n_items, network.scale)
        self.network = network
        self.chunk_items = chunk_items or network.n_items

    def score_catalogue(self, users: Tensor, precision: Precision = "fp32") -> Tensor:
        """Return the ratings of all items for each user: user indices (B,) to (B, n_items)."""
        chunks = torch.arange(self.n_items).split(self.chunk_items)
        rows = [
            torch.cat([self.network(user.expand(len(items)), items) for items in chunks]) for user in users
        ]
        return torch.stack(rows)


def timed(function: Callable[[], Ranked]) -> tuple[float, Ranked]:
    """Return the wall time in seconds and the result of `function`."""
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def fastest_chunks(network: RatingNetwork) -> Direct:
    """Return direct scoring in chunks of the size that is fastest on this machine."""

    def seconds(scorer: Direct) -> float:
        return min(timed(lambda: top_items(scorer, [0], 10))[0] for _ in range(2))

    return min((Direct(network, 1 << power) for power in (10, 11, 12, 13, 14)), key=seconds)


def compare(name: str, network: RatingNetwork, args: argparse.Namespace) -> None:
    """Measure one network and print its row."""
    for table in (*network.tables("user").values(), *network.tables("item").values()):
        nn.init.normal_(table.weight, std=0.3)
    direct, chunks = Direct(network.eval()), fastest_chunks(network)
    precisions: list[Precision] = ["fp32", "bf16"]
    if int8_supported():
        precisions.append("int8")
    scorer = network.scorer()
    methods: list[tuple[Scorer, Precision]] = [(direct, "fp32"), (chunks, "fp32")]
    methods += [(scorer, precision) for precision in precisions]
    random = np.random.default_rng(0)
    rounds, same = [], []
    for _ in range(args.repeats):
        sample = random.choice(args.users, args.sample, replace=False)
        subsample = sample[: args.direct]
        seconds_per_user, results = [], []
        for method, precision in methods:
            users = sample if method is scorer else subsample
            seconds, ranked = timed(partial(top_items, method, users, args.k, candidates=precision))
            seconds_per_user.append(seconds / len(users))
            results.append(ranked)
        np.testing.assert_allclose(results[2][0][: args.direct], results[0][0], atol=1e-5)
        same.append([float((ranked[1] == results[2][1]).mean()) for ranked in results[3:]])
        rounds.append(seconds_per_user)
    milliseconds = [f"{1000 * median(column):8.2f}" for column in zip(*rounds, strict=True)]
    ratios = [
        f"{median(times[0] / times[column] for times in rounds):8.1f}" for column in range(1, len(methods))
    ]
    shares = [f"{median(column):7.1%}" for column in zip(*same, strict=True)]
    if not int8_supported():  # needs VNNI instructions
        milliseconds, ratios, shares = ([*cells, f"{'-':>8}"] for cells in (milliseconds, ratios, shares))
    print(f"{name:<34}", *milliseconds, *ratios, *shares, flush=True)


def main() -> None:
    """Measure both networks and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--users", type=int, default=162_541, help="size of the model (%(default)s)")
    parser.add_argument("--items", type=int, default=59_047, help="size of the model (%(default)s)")
    parser.add_argument("--embedding-dim", type=int, default=50, help="(%(default)s)")
    parser.add_argument(
        "--hidden", type=int, nargs="*", default=[100, 200, 300], help="widths of the layers (%(default)s)"
    )
    parser.add_argument("--k", type=int, default=10, help="items per user (%(default)s)")
    parser.add_argument("--sample", type=int, default=40, help="users to rank (%(default)s)")
    parser.add_argument(
        "--direct", type=int, default=5, help="number of them to rank directly as well (%(default)s)"
    )
    parser.add_argument("--repeats", type=int, default=3, help="rounds (%(default)s)")
    parser.add_argument(
        "--threads", type=int, default=torch.get_num_threads(), help="torch threads (%(default)s)"
    )
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    sizes = (args.users, args.items, [0.5, 5], 3.5)
    name = f"embedding-net {args.embedding_dim}, {args.hidden}"
    print(f"torch {torch.__version__}; {os.cpu_count()} cores, threads: {args.threads};", end=" ")
    print(f"{args.users:,} users, {args.items:,} items, top {args.k}")
    print(
        f"milliseconds per user ({args.sample} users, {args.direct} of them direct); x relative to direct\n"
    )
    headers = ["direct", "chunks", "recsys", "bf16", "int8", "x chunks", "x recsys", "x bf16", "x int8"]
    print(f"{'':<34}", *(f"{name:>8}" for name in headers), "   same    same")
    with torch.no_grad():
        compare(name, EmbeddingNet(*sizes, embedding_dim=args.embedding_dim, hidden=args.hidden), args)
        factors = MatrixFactorization(*sizes, embedding_dim=args.embedding_dim)
        compare(f"matrix-factorization {args.embedding_dim}", factors, args)
    peak = peak_memory() / 2**10
    print(f"\npeak memory of the process {peak:.2f} GB, including", end=" ")
    tables = 4 * args.embedding_dim * (args.users + args.items) / 2**30
    print(f"{tables:.2f} GB of tables per network, and as much per scorer")


if __name__ == "__main__":
    main()
