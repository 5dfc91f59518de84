"""One seed, many generators: each purpose draws from a stream of its own."""

from typing import Literal

import numpy as np

PURPOSES = ("init", "shuffle", "dropout", "negatives")


def seed_for(seed: int, purpose: Literal["init", "shuffle", "dropout", "negatives"], number: int = 0) -> int:
    """A 63-bit seed for one purpose, so that drawing more for one never moves another.

    Args:
        seed: the run's seed.
        purpose: what is drawn.
        number: an epoch or a process rank.
    """
    low, high = np.random.SeedSequence([seed, PURPOSES.index(purpose), number]).generate_state(2)
    return (int(high) << 31) ^ int(low)
