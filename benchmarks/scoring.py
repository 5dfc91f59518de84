"""The ten best films of every user out of a whole catalogue: the split first layer beside all pairs directly.

The size is that of ML-25M, the weights are random. Direct is what `forward` gives of all pairs, in pieces of
the size that is fastest here, followed by the same top-k. Both ways rank the same few users in turn, in one
run, and what they find is compared; the time of all users is extrapolated from theirs. `bf16` is the ratio
with candidates found in bfloat16, `same` the share of listed films that are then the same at the same place.
Peak memory is that of the whole process.

    python benchmarks/scoring.py
    python benchmarks/scoring.py --hidden 100 200 300 --sample 40
"""

import argparse
import os
import resource
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from recsys.models import network as pieces
from recsys.models.embedding_net import EmbeddingNet
from recsys.models.matrix_factorization import MatrixFactorization
from recsys.models.network import RatingNetwork
from recsys.ranking import rank

Ranked = tuple[NDArray[np.float32], NDArray[np.int64]]


class Direct:
    """A network whose catalogue is scored by `forward` of all pairs."""

    def __init__(self, network: RatingNetwork) -> None:
        self.network, self.n_movies = network, network.n_movies

    def score(self, users: torch.Tensor) -> torch.Tensor:
        """Every movie's rating: (B,) to (B, n_movies)."""
        return RatingNetwork.score(self.network, users)


def timed(function: Callable[[], Ranked]) -> tuple[float, Ranked]:
    """Seconds, and what was found."""
    start = time.perf_counter()
    found = function()
    return time.perf_counter() - start, found


def fastest_piece(direct: Direct) -> int:
    """Pairs at once with which the direct way is fastest."""
    seconds = {}
    for size in (1 << 12, 1 << 14, 1 << 16, 1 << 18):
        pieces.PAIRS_AT_ONCE = size
        seconds[size] = min(timed(lambda: rank(direct, [0], 10))[0] for _ in range(2))  # type: ignore[arg-type]
    return min(seconds, key=lambda size: seconds[size])


def compare(name: str, network: RatingNetwork, args: argparse.Namespace) -> None:
    """Print one network's line."""
    for table in (*network.tables("user").values(), *network.tables("movie").values()):
        nn.init.normal_(table.weight, std=0.3)
    direct = Direct(network.eval())
    pieces.PAIRS_AT_ONCE = fastest_piece(direct)
    random = np.random.default_rng(0)
    own, slow, ratios, faster, same = [], [], [], [], []
    for _ in range(args.repeats):
        many = random.choice(args.users, args.sample, replace=False)
        few = many[: args.direct]
        seconds, found = timed(lambda: rank(network, many, args.k))  # noqa: B023
        direct_seconds, expected = timed(lambda: rank(direct, few, args.k))  # type: ignore[arg-type]  # noqa: B023
        np.testing.assert_allclose(found[0][: args.direct], expected[0], atol=1e-5)
        own.append(seconds / args.sample)
        bf16_seconds, in_bf16 = timed(lambda: rank(network, many, args.k, bf16=True))  # noqa: B023
        faster.append(direct_seconds / args.direct / (bf16_seconds / args.sample))
        same.append(float((in_bf16[1] == found[1]).mean()))
        slow.append(direct_seconds / args.direct)
        ratios.append(slow[-1] / own[-1])
    told = [f"{1000 * median(own):8.2f}", f"{1000 * median(slow):8.2f}", f"{median(ratios):6.1f}"]
    told += [f"{median(faster):6.1f}", f"{median(same):7.1%}"]
    hours = [f"{median(of) * args.users / 60:8.1f}" for of in (own, slow)]
    print(f"{name:<34}", *told, *hours, flush=True)


def main() -> None:
    """Measure both ways and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--users", type=int, default=162_541, help="of the model (%(default)s)")
    parser.add_argument("--movies", type=int, default=59_047, help="of the model (%(default)s)")
    parser.add_argument("--embedding-dim", type=int, default=50, help="(%(default)s)")
    parser.add_argument(
        "--hidden", type=int, nargs="*", default=[100], help="widths of the layers (%(default)s)"
    )
    parser.add_argument("--k", type=int, default=10, help="films for each user (%(default)s)")
    parser.add_argument("--sample", type=int, default=300, help="users ranked the fast way (%(default)s)")
    parser.add_argument("--direct", type=int, default=10, help="of them also directly (%(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="(%(default)s)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of torch (%(default)s)")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    facts = (args.users, args.movies, [0.5, 5], 3.5)
    layers = f"embedding-net {args.embedding_dim}, {args.hidden}"
    print(f"torch {torch.__version__}; {os.cpu_count()} cores, threads: {args.threads};", end=" ")
    print(f"{args.users:,} users, {args.movies:,} movies, the best {args.k}")
    print(f"measured: {args.sample} users, {args.direct} of them directly; all users: extrapolated\n")
    headers = [("ms/user", 8), ("direct", 8), ("ratio", 6), ("bf16", 6), ("same", 7)]
    headers += [("min, all", 8), ("direct", 8)]
    print(f"{'':<34}", *(f"{name:>{width}}" for name, width in headers))
    with torch.no_grad():
        compare(layers, EmbeddingNet(*facts, embedding_dim=args.embedding_dim, hidden=args.hidden), args)
        factors = MatrixFactorization(*facts, embedding_dim=args.embedding_dim)
        compare(f"matrix-factorization {args.embedding_dim}", factors, args)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"\npeak memory of the process {peak:.2f} GB, of which the tables take", end=" ")
    print(f"{4 * args.embedding_dim * (args.users + args.movies) / 2**30:.2f} GB for each network")


if __name__ == "__main__":
    main()
