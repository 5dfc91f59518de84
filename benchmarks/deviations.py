"""RMSE of the test ratings in five groups, by how much the averaged networks disagree on them.

    python benchmarks/deviations.py                    # trains the default network on ml-100k
    python benchmarks/deviations.py run=outputs/mine   # of a finished run

The groups have equal numbers of ratings, ordered by `Recommender.deviations`. Other arguments are overrides of the
training. A run with one network has no deviations.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

from recsys import compose, train
from recsys.models.scoring import deviations_of_pairs, predict_pairs
from recsys.runs.load import LoadedRun, load_run
from recsys.runs.ratings import load_ratings

GROUPS = 5


def measure(run: LoadedRun) -> None:
    """Print the number, the mean deviation and the RMSE of each group of test ratings."""
    ratings = load_ratings(run)
    rows = ratings.split.test
    users, items = ratings.dataset.users[rows], ratings.dataset.items[rows]
    scorer = run.checkpoint.scorer
    deviations = deviations_of_pairs(scorer, users, items)
    errors = predict_pairs(scorer, users, items) - ratings.dataset.ratings[rows]
    print("| test ratings | mean deviation | RMSE |\n| ---: | ---: | ---: |")
    for group in np.array_split(deviations.argsort(kind="stable"), GROUPS):
        rmse = np.sqrt((errors[group] ** 2).mean())
        print(f"| {len(group):,} | {deviations[group].mean():.3f} | {rmse:.4f} |")


def main() -> None:
    """Train a run, or take the given one, and measure it."""
    given = [argument.removeprefix("run=") for argument in sys.argv[1:] if argument.startswith("run=")]
    if given:
        measure(load_run(given[0]))
        return
    with tempfile.TemporaryDirectory() as folder:
        measure(load_run(str(train(compose("logger=none", *sys.argv[1:]), Path(folder, "run")).folder)))


if __name__ == "__main__":
    main()
