"""The ten best items of every user out of a whole catalogue: the split first layer beside all pairs directly.

The size is that of ML-25M, the weights are random. Direct is what people write: `forward` of a user and the
whole catalogue, followed by the same top-k. `pieces` is the same in pieces of the size that is fastest here,
those that a processor's cache holds. All ways rank the same few users in turn, in one run, and what they find
is compared. `bf16` and `int8` have candidates found so; `same` is the share of listed items that are then the
same at the same place. Every x is beside direct, the median of the rounds. Peak memory is that of the whole
process.

    python benchmarks/scoring.py
    python benchmarks/scoring.py --hidden 100 --threads 1
"""

import argparse
import os
import resource
import time
from collections.abc import Callable
from functools import partial
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from recsys.models.base import RatingNetwork
from recsys.models.embedding_net import EmbeddingNet
from recsys.models.matrix_factorization import MatrixFactorization
from recsys.models.scoring import rank

Ranked = tuple[NDArray[np.float32], NDArray[np.int64]]


class Direct(nn.Module):
    """A network whose catalogue is scored by `forward`, one user after another.

    Args:
        network: in evaluation mode.
        at_once: items of a piece; None: all of them.
    """

    def __init__(self, network: RatingNetwork, at_once: int | None = None) -> None:
        super().__init__()
        self.network, self.n_items = network, network.n_items
        self.at_once = at_once or network.n_items

    def score(self, users: torch.Tensor) -> torch.Tensor:
        """Every item's rating: (B,) to (B, n_items)."""
        items = torch.arange(self.n_items).split(self.at_once)
        rows = [torch.cat([self.network(user.expand(len(some)), some) for some in items]) for user in users]
        return torch.stack(rows)


def timed(function: Callable[[], Ranked]) -> tuple[float, Ranked]:
    """Seconds, and what was found."""
    start = time.perf_counter()
    found = function()
    return time.perf_counter() - start, found


def in_fastest_pieces(network: RatingNetwork) -> Direct:
    """The direct way in pieces of the size with which it is fastest here."""
    ways = [Direct(network, 1 << power) for power in (10, 11, 12, 13, 14)]
    return min(ways, key=lambda way: min(timed(lambda: rank(way, [0], 10))[0] for _ in range(2)))  # type: ignore[arg-type]


def compare(name: str, network: RatingNetwork, args: argparse.Namespace) -> None:
    """Print one network's line."""
    for table in (*network.tables("user").values(), *network.tables("item").values()):
        nn.init.normal_(table.weight, std=0.3)
    direct, in_pieces = Direct(network.eval()), in_fastest_pieces(network)
    random = np.random.default_rng(0)
    rounds, same = [], []
    for _ in range(args.repeats):
        many = random.choice(args.users, args.sample, replace=False)
        few = many[: args.direct]
        per_user, found = [], []
        for scorer, users, candidates in (
            (direct, few, "fp32"),
            (in_pieces, few, "fp32"),
            (network, many, "fp32"),
            (network, many, "bf16"),
            (network, many, "int8"),
        ):
            seconds, listed = timed(partial(rank, scorer, users, args.k, candidates=candidates))  # type: ignore[arg-type]
            per_user.append(seconds / len(users))
            found.append(listed)
        np.testing.assert_allclose(found[2][0][: args.direct], found[0][0], atol=1e-5)
        same.append([float((listed[1] == found[2][1]).mean()) for listed in found[3:]])
        rounds.append(per_user)
    milliseconds = [f"{1000 * median(way):8.2f}" for way in zip(*rounds, strict=True)]
    ratios = [f"{median(of[0] / of[way] for of in rounds):8.1f}" for way in (1, 2, 3, 4)]
    print(
        f"{name:<34}",
        *milliseconds,
        *ratios,
        *(f"{median(of):7.1%}" for of in zip(*same, strict=True)),
        flush=True,
    )


def main() -> None:
    """Measure both ways and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--users", type=int, default=162_541, help="of the model (%(default)s)")
    parser.add_argument("--items", type=int, default=59_047, help="of the model (%(default)s)")
    parser.add_argument("--embedding-dim", type=int, default=50, help="(%(default)s)")
    parser.add_argument(
        "--hidden", type=int, nargs="*", default=[100, 200, 300], help="widths of the layers (%(default)s)"
    )
    parser.add_argument("--k", type=int, default=10, help="items for each user (%(default)s)")
    parser.add_argument("--sample", type=int, default=40, help="users ranked the fast way (%(default)s)")
    parser.add_argument("--direct", type=int, default=5, help="of them also directly (%(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="(%(default)s)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of torch (%(default)s)")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    facts = (args.users, args.items, [0.5, 5], 3.5)
    layers = f"embedding-net {args.embedding_dim}, {args.hidden}"
    print(f"torch {torch.__version__}; {os.cpu_count()} cores, threads: {args.threads};", end=" ")
    print(f"{args.users:,} users, {args.items:,} items, the best {args.k}")
    print(
        f"milliseconds of a user ({args.sample} users, {args.direct} of them directly), and x beside direct\n"
    )
    headers = ["direct", "pieces", "recsys", "bf16", "int8", "x pieces", "x recsys", "x bf16", "x int8"]
    print(f"{'':<34}", *(f"{name:>8}" for name in headers), "   same    same")
    with torch.no_grad():
        compare(layers, EmbeddingNet(*facts, embedding_dim=args.embedding_dim, hidden=args.hidden), args)
        factors = MatrixFactorization(*facts, embedding_dim=args.embedding_dim)
        compare(f"matrix-factorization {args.embedding_dim}", factors, args)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"\npeak memory of the process {peak:.2f} GB, of which the tables take", end=" ")
    print(f"{4 * args.embedding_dim * (args.users + args.items) / 2**30:.2f} GB for each network")


if __name__ == "__main__":
    main()
