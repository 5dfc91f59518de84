"""Seeded random draws of subsets, shared by the splits.

The draws determine all published results. They must never change.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.data.splits.base import Rows, Split

ROWS_PER_BLOCK = 1 << 20

Labels = NDArray[np.int8]  # per row, one of:
TRAIN, VAL, TEST = range(3)


def split_by_labels(labels: Labels) -> Split:
    """Collect the rows of each label. Masks give them in ascending order, faster than sorting."""
    with ThreadPoolExecutor() as pool:
        return Split(*pool.map(lambda label: np.flatnonzero(labels == label), (TRAIN, VAL, TEST)))


def hold_out(dataset: Dataset, test: Rows, seed: int, val: float) -> Split:
    """Use the given rows as test set and draw the validation set from the other rows.

    Args:
        dataset: the ratings.
        test: the rows of the test set.
        seed: of the draw. The stream differs from `default_rng(seed)`, which may have drawn the test set.
        val: the share of the other rows that becomes the validation set.
    """
    labels = np.full(len(dataset), TRAIN, dtype=np.int8)
    labels[test] = TEST
    rest = labels == TRAIN
    labels[rest] = draw_labels(int(rest.sum()), np.random.default_rng([seed, 1]), val)
    return split_by_labels(labels)


def draw_labels(n: int, generator: np.random.Generator, val: float, test: float = 0) -> Labels:
    """Draw the labels of `n` rows: `round(val * n)` are VAL, `round(test * n)` are TEST, the rest TRAIN.

    Up to ROWS_PER_BLOCK rows are drawn from one permutation. More rows are divided into blocks that each
    contribute their share. A block fits into the CPU cache, and blocks are drawn in parallel.
    """
    labels = np.full(n, TRAIN, dtype=np.int8)
    blocks = max(1, -(-n // ROWS_PER_BLOCK))
    ends = [n * block // blocks for block in range(blocks + 1)]

    def draw(start: int, stop: int, generator: np.random.Generator) -> None:
        n_test, n_val = (round(share * stop) - round(share * start) for share in (test, val))
        if blocks == 1:
            order = generator.permutation(n)[: n_test + n_val]
        else:  # choice() shuffles only as many rows as it returns
            order = generator.choice(stop - start, min(n_test + n_val, stop - start), replace=False)
        rows = labels[start:stop]
        rows[order[:n_test]] = TEST
        rows[order[n_test:]] = VAL

    with ThreadPoolExecutor() as pool:
        list(pool.map(draw, ends[:-1], ends[1:], [generator, *generator.spawn(blocks - 1)]))
    return labels


def position_within_user(users: NDArray) -> Rows:
    """Number the rows of each user in their order: 0 for the first row, 1 for the second, and so on.

    Args:
        users: the user index of every row, shape (n,).
    """
    order = np.argsort(users, kind="stable")
    counts = np.bincount(users)
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    position = np.empty(len(users), dtype=np.int64)
    position[order] = np.arange(len(users)) - starts
    return position
