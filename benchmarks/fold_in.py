"""Accuracy of fold-in: RMSE for users without training ratings, given n = 1, 3, 5, 10 or 20 of their ratings.

Whole users are hidden from training (split=new-users). One half of them is for choosing the prior's spread
(--tune), the table is of the other half. Each user's ratings are shuffled and the first n are given. Errors are
those of the ratings after the 20th, the same for every n; users with 20 ratings or fewer are left out.

    python benchmarks/fold_in.py                       # ml-100k if RECSYS_MIRROR has it, otherwise synthetic
    python benchmarks/fold_in.py --tune experiment=embedding-net
"""

import argparse
import logging
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from recsys.data.biases import USER_DAMPING
from recsys.experiment.compose import compose
from recsys.experiment.train import train
from recsys.inference.fold_in import SPREAD, Prior
from recsys.runs.load import LoadedRun, load_run
from recsys.runs.ratings import RunRatings, load_ratings

GIVEN = (1, 3, 5, 10, 20)
SPREADS = (0.5, 1.0, 1.5, 2.0, 3.0)
EXPECTED = "fold-in, expected"
METHODS = ("user-mean", "item-mean", "folded-in user+item bias", "fold-in", EXPECTED)


class HiddenUser(NamedTuple):
    """A user without training ratings: item indices and ratings in the order in which they are given."""

    items: NDArray[np.int64]
    ratings: NDArray[np.float32]


def hidden_users(run: RunRatings, half: int) -> Iterator[HiddenUser]:
    """Yield every second hidden user (half 0 or 1) with more than 20 ratings."""
    dataset, rows = run.dataset, run.split.test
    generator = np.random.default_rng(0)
    for user in np.unique(dataset.users[rows]):
        own = generator.permutation(rows[dataset.users[rows] == user])
        if len(own) > max(GIVEN) and user % 2 == half:
            yield HiddenUser(dataset.items[own].astype(np.int64), dataset.ratings[own])


def item_means(run: RunRatings) -> NDArray[np.float64]:
    """Return the mean training rating of each item; the overall mean for items without training ratings."""
    dataset, rows = run.dataset, run.split.train
    n = len(dataset.item_ids)
    counts = np.bincount(dataset.items[rows], minlength=n)
    sums = np.bincount(dataset.items[rows], dataset.ratings[rows], n)
    return np.where(counts > 0, sums / np.maximum(counts, 1), dataset.ratings[rows].mean(dtype=np.float64))


def fold_in(prior: Prior, user: HiddenUser, n: int, items: NDArray) -> tuple[NDArray, NDArray]:
    """Return predictions for item indices after the user's first n ratings, and the expected squared errors."""
    posterior = prior.posterior(torch.from_numpy(user.items[:n]), torch.from_numpy(user.ratings[:n]))
    indices = torch.from_numpy(items)
    predicted = posterior.scorer.predict(torch.zeros_like(indices), indices).detach()
    return predicted.numpy(), (posterior.deviations(indices).square() + prior.noise**2).numpy()


def squared_errors(
    run: LoadedRun, ratings: RunRatings, users: list[HiddenUser], prior: Prior
) -> dict[tuple[str, int], list[NDArray[np.float64]]]:
    """Return one array per user for every method and n."""
    biases, mean_of_item = run.data.biases, item_means(ratings)
    errors: dict[tuple[str, int], list] = {(method, n): [] for method in METHODS for n in GIVEN}
    for user in users:
        target, true = user.items[max(GIVEN) :], user.ratings[max(GIVEN) :]
        for n in GIVEN:
            items, given = user.items[:n], user.ratings[:n].astype(float)
            user_bias = (given - biases.mean - biases.items[items]).sum() / (n + USER_DAMPING)
            predicted = {
                "user-mean": np.full(len(true), given.mean()),
                "item-mean": mean_of_item[target],
                "folded-in user+item bias": biases.mean + user_bias + biases.items[target],
            }
            predicted["fold-in"], expected = fold_in(prior, user, n, target)
            errors[EXPECTED, n].append(expected)
            for method, values in predicted.items():
                errors[method, n].append((values.clip(*ratings.dataset.scale) - true) ** 2)
    return errors


def train_without_hidden_users(overrides: list[str], seed: int, folder: Path) -> LoadedRun:
    """Train a run from which a fifth of the users is hidden."""
    fixed = ["split=new-users", "split.test=0.2", f"split.seed={seed}", "logger=none", "hardware=cpu"]
    train(compose(*fixed, *overrides), folder)
    return load_run(folder)


def runs_without_hidden_users(overrides: list[str], splits: int, parent: Path) -> Iterator[LoadedRun]:
    """Yield one run per draw of hidden users; those that `parent` has already are not trained again."""
    mirror = Path(os.environ.get("RECSYS_MIRROR", "")) / "ml-100k.zip"
    if not any(override.startswith("data=") for override in overrides):
        overrides = [*overrides, "data=ml-100k" if mirror.is_file() else "data=synthetic"]
    for seed in range(splits):
        folder = parent / str(seed)
        print(f"split {seed + 1} of {splits}: {folder}", file=sys.stderr)
        is_finished = (folder / "result.json").is_file()
        yield load_run(folder) if is_finished else train_without_hidden_users(overrides, seed, folder)


def tune(runs: list[LoadedRun]) -> None:
    """Print the validation users' RMSE for each spread."""
    print("validation users: RMSE by the prior's spread and the number of given ratings\n")
    print(f"| spread | {' | '.join(map(str, GIVEN))} | mean |\n|---|{'---|' * (len(GIVEN) + 1)}")
    for spread in SPREADS:
        errors: dict[int, list] = {n: [] for n in GIVEN}
        for run in runs:
            prior = Prior.of_run(run, spread)
            for user in hidden_users(load_ratings(run), 0):
                for n in GIVEN:
                    predicted, _ = fold_in(prior, user, n, user.items[max(GIVEN) :])
                    errors[n].append((predicted - user.ratings[max(GIVEN) :]) ** 2)
        scores = [rmse(errors[n]) for n in GIVEN]
        print(f"| {spread} | {' | '.join(f'{s:.4f}' for s in [*scores, np.mean(scores)])} |", flush=True)
    print()


def rmse(errors: list[NDArray]) -> float:
    """Return the RMSE pooled over all ratings, from arrays of squared errors."""
    return float(np.sqrt(np.concatenate(errors).mean()))


def main() -> None:
    """Train, fold in, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--splits", type=int, default=3, metavar="N", help="draws of hidden users (%(default)s)"
    )
    parser.add_argument(
        "--spread", type=float, default=SPREAD, metavar="X", help="of the prior (%(default)s)"
    )
    parser.add_argument("--tune", action="store_true", help="also print the validation users' RMSE by spread")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep runs in FOLDER, and reuse them")
    args, overrides = parser.parse_known_args()
    logging.disable(logging.WARNING)
    scratch = tempfile.TemporaryDirectory()
    runs = list(runs_without_hidden_users(overrides, args.splits, args.keep or Path(scratch.name)))
    if args.tune:
        tune(runs)
    errors: dict[tuple[str, int], list] = {(method, n): [] for method in METHODS for n in GIVEN}
    n_users, start = 0, time.perf_counter()
    for run in runs:
        ratings = load_ratings(run)
        users = list(hidden_users(ratings, 1))
        n_users += len(users)
        for key, values in squared_errors(run, ratings, users, Prior.of_run(run, args.spread)).items():
            errors[key] += values
    seconds = (time.perf_counter() - start) / (n_users * len(GIVEN))
    n_ratings = sum(map(len, errors[METHODS[0], GIVEN[0]]))
    result = runs[0].result
    print(
        f"{result['data']['name']}, {result['model']['name']}: RMSE of {n_ratings:,} ratings of {n_users} test users"
    )
    print(f"in {args.splits} draws; spread of the prior {args.spread}; {1000 * seconds:.0f} ms per fold-in\n")
    print(f"| ratings given | {' | '.join(map(str, GIVEN))} |\n|---|{'---|' * len(GIVEN)}")
    for method in METHODS:
        print(f"| {method} | {' | '.join(f'{rmse(errors[method, n]):.4f}' for n in GIVEN)} |")


if __name__ == "__main__":
    main()
