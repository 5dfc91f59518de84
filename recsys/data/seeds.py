"""Independent random streams for different purposes, derived from one seed."""

from typing import Literal

import numpy as np

PURPOSES = ("init", "shuffle", "dropout", "negatives")


def seed_for(seed: int, purpose: Literal["init", "shuffle", "dropout", "negatives"], number: int = 0) -> int:
    """Return a 63-bit seed for one purpose. Draws for one purpose never affect those for another.

    Args:
        seed: the seed of the run.
        purpose: what is drawn.
        number: the epoch or the rank of the process, if each needs its own stream.
    """
    low, high = np.random.SeedSequence([seed, PURPOSES.index(purpose), number]).generate_state(2)
    return (int(high) << 31) ^ int(low)
