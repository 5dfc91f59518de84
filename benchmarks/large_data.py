"""The default network on data of the shape of ML-25M: memory of the process, of the network and of a snapshot.

    python benchmarks/large_data.py        # a minute and 4 GB

The ratings are synthetic (gpu_data.py): 24 million of 162,541 users and 59,047 items, 19 million of them for training,
with skewed activity.
"""

import logging
import tempfile
import warnings
from pathlib import Path

from gpu_loops import ratings, recsys_speed
from memory import peak_memory
from torch import Tensor

from recsys import compose
from recsys.training.build import build_module

STEPS = 12


def megabytes(state: dict[str, Tensor]) -> float:
    """Return the size of tensors."""
    return sum(tensor.nbytes for tensor in state.values()) / 1e6


def main() -> None:
    """Train for some steps, and print."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    imports = peak_memory()
    data = ratings("ml-25m")
    print(
        f"{len(data.split.train):,} training ratings: {peak_memory():,.0f} MB, {imports:,.0f} of them imports"
    )
    with tempfile.TemporaryDirectory() as folder:
        speed = recsys_speed(data, "cpu", ["snapshots=1"], STEPS, Path(folder))
    print(f"after {STEPS} steps: {peak_memory():,.0f} MB, {speed:,.0f} ratings/s")
    network = build_module(compose("data=synthetic"), data).network
    print(f"network: {megabytes(network.state_dict()):.0f} MB")
    print(f"a snapshot: {megabytes(network.scorer().state_dict()):.0f} MB")


if __name__ == "__main__":
    main()
