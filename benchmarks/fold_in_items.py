"""Accuracy of fold-in for new items: RMSE for items without training ratings, given n of their ratings.

Whole items are hidden from training (split=new-items). The ratings of each are shuffled and the first n are given.
Errors are those of the ratings after the 20th, the same for every n; items with 20 ratings or fewer are left out. The
items with an even index (--half 0) chose the penalty of the regression on genres and years; the others are measured.

    python benchmarks/fold_in_items.py                              # the default network on ml-100k
    python benchmarks/fold_in_items.py model=matrix-factorization
    python benchmarks/fold_in_items.py snapshots=1                  # also items encoded from their raters
"""

import argparse
import logging
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from encoded_rows import RowEncoder
from numpy.typing import NDArray
from torch import Tensor

from recsys import compose, train
from recsys.data.biases import ITEM_DAMPING
from recsys.inference.fold_in import Prior
from recsys.inference.item_priors import ItemPriors
from recsys.models.scoring import predict_pairs
from recsys.runs.load import LoadedRun, load_run
from recsys.runs.ratings import load_ratings

Given = tuple[Tensor, Tensor]  # users and their ratings
GIVEN = (0, 1, 3, 5, 10, 20)
METHODS = (
    "user bias",
    "user + folded-in item bias",
    "as a known item: features only",
    "fold-in",
    "fold-in with genres and year",
    "encoded, with genres and year",
)


def encoded(encoder: RowEncoder, run: LoadedRun, item: int, given: Given, asked: NDArray) -> NDArray:
    """Return the predicted ratings of users `asked` for an item that is encoded from the given ratings."""
    table = run.checkpoint.scorer.item_table()[:1].clone()
    row = encoder(*given) + encoder.features[item]
    table[0, : len(row)] = row.detach()
    return predict_pairs(run.checkpoint.scorer.with_items(table), asked, np.zeros_like(asked))


def measure(run: LoadedRun, half: int) -> None:
    """Print the RMSE of each method and n, for the items whose index is odd (half=1) or even (half=0)."""
    ratings, priors = load_ratings(run), ItemPriors(run)
    encoder = RowEncoder.of_run(run, ratings, "item")
    dataset, test, biases = ratings.dataset, ratings.split.test, run.data.biases
    generator = np.random.default_rng(0)
    errors: dict[tuple[str, int], list] = {(method, n): [] for method in METHODS for n in GIVEN}
    for item in np.unique(dataset.items[test]):
        own = generator.permutation(test[dataset.items[test] == item])
        if len(own) <= max(GIVEN) or item % 2 != half:
            continue
        users, values = dataset.users[own].astype(np.int64), dataset.ratings[own]
        asked, true = users[max(GIVEN) :], values[max(GIVEN) :]
        by_user = biases.mean + biases.users[asked]
        known = predict_pairs(run.checkpoint.scorer, asked, np.full_like(asked, item))
        row = run.data.item_table.iloc[item]
        genres = [genre for genre in row["genres"].split("|") if genre]
        with_features = priors.with_features(genres, None if pd.isna(row["year"]) else int(row["year"]))
        for n in GIVEN:
            given = torch.from_numpy(users[:n]), torch.from_numpy(values[:n])
            residuals = values[:n] - biases.mean - biases.users[users[:n]]
            predicted = {
                "user bias": by_user,
                "user + folded-in item bias": by_user + residuals.sum() / (n + ITEM_DAMPING),
                "as a known item: features only": known,
                "fold-in": folded_in(priors.without_features, *given, asked),
                "fold-in with genres and year": folded_in(with_features, *given, asked),
            }
            if encoder is not None:
                predicted[METHODS[-1]] = encoded(encoder, run, item, given, asked)
            for method, of_method in predicted.items():
                errors[method, n].append((of_method.clip(*dataset.scale) - true) ** 2)
    n_items, n_ratings = len(errors[METHODS[0], 0]), sum(map(len, errors[METHODS[0], 0]))
    print(
        f"{run.result['data']['name']}, {run.result['model']['name']}: {n_ratings:,} ratings of {n_items} items\n"
    )
    print(f"| ratings given | {' | '.join(map(str, GIVEN))} |\n|---|{'---|' * len(GIVEN)}")
    for method in METHODS if encoder else METHODS[:-1]:
        row = (np.sqrt(np.concatenate(errors[method, n]).mean()) for n in GIVEN)
        print(f"| {method} | {' | '.join(f'{rmse:.4f}' for rmse in row)} |")


def folded_in(prior: Prior, users: Tensor, values: Tensor, asked: NDArray) -> NDArray:
    """Return the predicted ratings of users `asked` for an item with the given ratings."""
    return predict_pairs(prior.posterior(users, values).scorer, np.zeros_like(asked), asked)


def main() -> None:
    """Train without a fifth of the items, and measure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--half", type=int, default=1, choices=(0, 1), help="0: the items that chose the penalty"
    )
    args, overrides = parser.parse_known_args()
    logging.disable(logging.INFO)
    fixed = ["split=new-items", "split.test=0.2", "logger=none", "hardware=cpu"]
    with tempfile.TemporaryDirectory() as folder:
        measure(load_run(str(train(compose(*fixed, *overrides), Path(folder, "run")).folder)), args.half)


if __name__ == "__main__":
    main()
