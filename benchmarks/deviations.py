"""Are predictions with large deviations less accurate, and are probabilities of relevant ratings calibrated?

    python benchmarks/deviations.py                    # trains the default network on ml-100k
    python benchmarks/deviations.py run=outputs/mine   # of a finished run

The test ratings are divided into five groups of equal size, once by `Recommender.deviations`, once by
`Recommender.relevance`. Other arguments are overrides of the training. A run with one network has no deviations.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

from recsys import compose, train
from recsys.models.heads import relevance_threshold
from recsys.models.scoring import deviations_of_pairs, predict_pairs, relevance_of_pairs
from recsys.runs.load import LoadedRun, load_run
from recsys.runs.ratings import load_ratings

GROUPS = 5


def measure(run: LoadedRun) -> None:
    """Print the RMSE of each group by deviations, and the share of relevant ratings in each group by probability."""
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
    threshold = relevance_threshold(run.checkpoint.ranking[1], scorer.scale)
    probabilities = relevance_of_pairs(scorer, users, items, threshold)
    relevant = ratings.dataset.ratings[rows] >= threshold
    print(f"\n| test ratings | mean P(rating >= {threshold:g}) | share |\n| ---: | ---: | ---: |")
    for group in np.array_split(probabilities.argsort(kind="stable"), GROUPS):
        print(f"| {len(group):,} | {probabilities[group].mean():.3f} | {relevant[group].mean():.3f} |")


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
