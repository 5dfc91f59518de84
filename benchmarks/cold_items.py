"""Items without training ratings: how well features predict their ratings on ML-100K.

    python benchmarks/cold_items.py
    python benchmarks/cold_items.py --seeds 0 1 2 3 4

`split=new-items` hides a tenth of the items from training. Their ids have no trained vectors, so without features they
get the mean vector of the other items. Both networks are the default one with `loss=pointwise`; they differ in
`model.item.features` only. The test ratings are those of the hidden items.
"""

import argparse
import tempfile
from pathlib import Path
from statistics import mean, stdev

from recsys import compose, train

KEYS = ("split=new-items", "loss=pointwise", "logger=none", "hardware=cpu", "ranking.k=0")


def main() -> None:
    """Train both networks for each seed of the split, and print their test RMSE."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="seeds of the split")
    parser.add_argument("overrides", nargs="*", help="further overrides, such as data=ml-1m")
    arguments = parser.parse_args()
    gains = []
    print("split.seed  mean vector  features")
    for seed in arguments.seeds:
        rmse = {features: test_rmse(features, seed, arguments.overrides) for features in (False, True)}
        gains.append(rmse[False] - rmse[True])
        print(f"{seed:>10}  {rmse[False]:>11.4f}  {rmse[True]:>8.4f}", flush=True)
    if len(gains) > 1:
        print(f"gain {mean(gains):.4f} ± {stdev(gains):.4f}")


def test_rmse(features: bool, seed: int, overrides: list[str]) -> float:
    """Return the test RMSE of the default network with or without features of items."""
    cfg = compose(*KEYS, f"split.seed={seed}", f"model.item.features={str(features).lower()}", *overrides)
    with tempfile.TemporaryDirectory() as folder:
        return train(cfg, folder=Path(folder, "run")).metrics["test/rmse"]


if __name__ == "__main__":
    main()
