"""Cost of a training step as embedding tables grow: optimizer=sparse-adam compared with dense Adam.

A step is forward, backward and optimizer of a biased matrix factorization with --rows users and a tenth as
many items, without Lightning. The --batch-size ratings are drawn uniformly, the worst case for caches. Every
measurement has its own process because it reports peak memory. Dense Adam is measured up to --dense-up-to
rows: it needs four copies of each table (weights, gradient, two moments). The last column is the expected
memory: .3 GB of libraries and three copies of each table (four for dense Adam).

    python benchmarks/large_tables.py
    python benchmarks/large_tables.py --rows 100000 1000000 --repeats 3
"""

import argparse
import os
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from statistics import median

# As the commands do: idle OpenMP threads that spin slow a shared machine down. torch reads this when it is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# isort: split
import torch
from memory import peak_memory
from torch.nn import functional

from recsys.models.matrix_factorization import MatrixFactorization
from recsys.training.memory import reuse_freed_memory
from recsys.training.sparse_adam import SparseAdam


def measure(rows: int, sparse: bool, args: argparse.Namespace) -> tuple[float, float]:
    """Return the median milliseconds per step and the peak memory of the process in GB."""
    torch.set_num_threads(args.threads)
    reuse_freed_memory()
    items = rows // 10
    network = MatrixFactorization(rows, items, [1, 5], 3.5, embedding_dim=args.embedding_dim)
    if sparse:
        network.use_sparse_gradients()
    optimizer = SparseAdam(network.parameters(), fused=True)
    for table in network.parameters():  # as in a long training run, all pages of the moments are in memory
        state = {"step": torch.tensor(0.0)}
        state |= {name: torch.full_like(table, 1e-8) for name in ("exp_avg", "exp_avg_sq")}
        optimizer.state[table] = state
    seconds = []
    for step in range(args.steps + 3):
        pairs = torch.randint(rows, (args.batch_size,)), torch.randint(items, (args.batch_size,))
        ratings = torch.rand(args.batch_size)
        start = time.perf_counter()
        optimizer.zero_grad()
        functional.mse_loss(network(*pairs), ratings).backward()
        optimizer.step()
        if step >= 3:
            seconds.append(time.perf_counter() - start)
    return 1000 * median(seconds), peak_memory() / 2**10


def main() -> None:
    """Measure all sizes and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    sizes = [100_000, 1_000_000, 10_000_000, 100_000_000]
    parser.add_argument("--rows", type=int, nargs="*", default=sizes, help="numbers of users (%(default)s)")
    parser.add_argument(
        "--dense-up-to", type=int, default=10_000_000, help="most users for dense Adam (%(default)s)"
    )
    parser.add_argument("--embedding-dim", type=int, default=8, help="(%(default)s)")
    parser.add_argument("--batch-size", type=int, default=2000, help="(%(default)s)")
    parser.add_argument("--steps", type=int, default=20, help="steps per measurement (%(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="(%(default)s)")
    parser.add_argument(
        "--threads", type=int, default=torch.get_num_threads(), help="torch threads (%(default)s)"
    )
    args = parser.parse_args()
    print(f"torch {torch.__version__}; {os.cpu_count()} cores, threads: {args.threads}; batches of", end=" ")
    print(f"{args.batch_size}, embedding_dim {args.embedding_dim}, a tenth as many items as users\n")
    headers = ("ms per step", 12), ("lowest", 9), ("highest", 9), ("peak GB", 9), ("expected GB", 12)
    print(f"{'users':>12}{'optimizer':>14}", *(f"{name:>{width}}" for name, width in headers), sep="")
    for rows in args.rows:
        for sparse in (True, False):
            if not sparse and rows > args.dense_up_to:
                continue
            found, peak = [], 0.0
            for _ in range(args.repeats):
                with ProcessPoolExecutor(1, get_context("spawn")) as process:
                    milliseconds, memory = process.submit(measure, rows, sparse, args).result()
                found.append(milliseconds)
                peak = max(peak, memory)
            copies = 3 if sparse else 4
            expected = 0.3 + copies * 4 * (rows + rows // 10) * (args.embedding_dim + 1) / 2**30
            name = "sparse-adam" if sparse else "adam"
            times = "".join(
                f"{pick(found):>{width}.2f}" for pick, width in ((median, 12), (min, 9), (max, 9))
            )
            print(f"{rows:>12,}{name:>14}{times}{peak:>9.2f}{expected:>12.2f}", flush=True)


if __name__ == "__main__":
    main()
