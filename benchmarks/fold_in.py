"""Cold start: error of fold-in for new users with n = 1, 3, 5, 10, 20 ratings.

All ratings of some users are excluded from training (split=new-users). Half of these users are validation
users, on which the spread of the prior was chosen (--tune); the table shows the other half. The ratings of a
user are shuffled: the first n are given, and errors are those of the ratings after the 20th, the same for
every n. Users with 20 ratings or fewer are left out.

    python benchmarks/fold_in.py                       # ml-100k if it is in RECSYS_MIRROR, else synthetic
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

import hydra
import numpy as np
import torch
from numpy.typing import NDArray

from recsys.cli.app import register_resolvers
from recsys.data.biases import USER_DAMPING, Biases, fit_biases
from recsys.experiment.train import train
from recsys.inference.fold_in import SPREAD, Prior
from recsys.paths import conf_dir
from recsys.runs.load import LoadedRun, load_run

GIVEN = (1, 3, 5, 10, 20)
SPREADS = (0.5, 1.0, 1.5, 2.0, 3.0)
EXPECTED = "fold-in, expected error"
METHODS = ("user-mean", "item-mean", "folded-in user+item bias", "fold-in", EXPECTED)


class HiddenUser(NamedTuple):
    """A user excluded from training: item indices and ratings in the order in which they are given."""

    items: NDArray[np.int64]
    ratings: NDArray[np.float32]


def hidden_users(run: LoadedRun, half: int) -> Iterator[HiddenUser]:
    """Yield every second hidden user (half 0 or 1) with more than 20 ratings."""
    dataset, rows = run.dataset, run.split.test
    random = np.random.default_rng(0)
    for user in np.unique(dataset.users[rows]):
        own = random.permutation(rows[dataset.users[rows] == user])
        if len(own) > max(GIVEN) and user % 2 == half:
            yield HiddenUser(dataset.items[own].astype(np.int64), dataset.ratings[own])


def item_means(run: LoadedRun) -> NDArray[np.float64]:
    """Return the mean training rating of each item; the global mean for items without ratings."""
    dataset, rows = run.dataset, run.split.train
    n = len(dataset.item_ids)
    counts = np.bincount(dataset.items[rows], minlength=n)
    sums = np.bincount(dataset.items[rows], dataset.ratings[rows], n)
    return np.where(counts > 0, sums / np.maximum(counts, 1), run.trained.network.mean)


def fold(prior: Prior, user: HiddenUser, n: int, target: NDArray) -> tuple[NDArray, NDArray]:
    """Return predictions and expected squared errors for `target` item indices, given the first n ratings."""
    found = prior.fit(torch.from_numpy(user.items[:n]), torch.from_numpy(user.ratings[:n]))
    rows = torch.from_numpy(target)
    ratings = found.network.predict(torch.zeros_like(rows), rows).detach()
    return ratings.numpy(), (found.deviations(rows).square() + prior.noise**2).numpy()


def squared_errors(
    run: LoadedRun, users: list[HiddenUser], prior: Prior
) -> dict[tuple[str, int], list[NDArray[np.float64]]]:
    """Return the squared errors of every method and n, one array per user."""
    biases: Biases = fit_biases(run.dataset, run.split.train)
    means = item_means(run)
    found: dict[tuple[str, int], list] = {(method, n): [] for method in METHODS for n in GIVEN}
    for user in users:
        target, true = user.items[max(GIVEN) :], user.ratings[max(GIVEN) :]
        for n in GIVEN:
            items, ratings = user.items[:n], user.ratings[:n].astype(float)
            user_bias = (ratings - biases.mean - biases.items[items]).sum() / (n + USER_DAMPING)
            predicted = {
                "user-mean": np.full(len(true), ratings.mean()),
                "item-mean": means[target],
                "folded-in user+item bias": biases.mean + user_bias + biases.items[target],
            }
            predicted["fold-in"], expected = fold(prior, user, n, target)
            found[EXPECTED, n].append(expected)
            for method, values in predicted.items():
                found[method, n].append((values.clip(*run.dataset.scale) - true) ** 2)
    return found


def train_without(overrides: list[str], seed: int, folder: Path) -> LoadedRun:
    """Train without a fifth of the users and return the run."""
    with hydra.initialize_config_dir(conf_dir(), version_base="1.3"):
        fixed = ["split=new-users", "split.test=0.2", f"split.seed={seed}", "logger=none", "hardware=cpu"]
        cfg = hydra.compose("train", [*fixed, *overrides])
    train(cfg, folder)
    return load_run(str(folder))


def make_prior(run: LoadedRun, spread: float) -> Prior:
    """Return the prior with the given spread."""
    noise = run.result["metrics"]["val/rmse"]
    return Prior.of(run.trained.network, run.trained_users, noise, spread)


def tune(runs: list[LoadedRun]) -> None:
    """Print the RMSE of the validation users for each spread."""
    print("validation users: RMSE by spread of the prior and number of given ratings\n")
    print(f"| spread | {' | '.join(map(str, GIVEN))} | mean |\n|---|{'---|' * (len(GIVEN) + 1)}")
    for spread in SPREADS:
        errors: dict[int, list] = {n: [] for n in GIVEN}
        for run in runs:
            prior = make_prior(run, spread)
            for user in hidden_users(run, 0):
                for n in GIVEN:
                    values, _ = fold(prior, user, n, user.items[max(GIVEN) :])
                    errors[n].append((values - user.ratings[max(GIVEN) :]) ** 2)
        scores = [rmse(errors[n]) for n in GIVEN]
        print(f"| {spread} | {' | '.join(f'{s:.4f}' for s in [*scores, np.mean(scores)])} |", flush=True)
    print()


def rmse(errors: list[NDArray]) -> float:
    """Return the RMSE pooled over all ratings."""
    return float(np.sqrt(np.concatenate(errors).mean()))


def main() -> None:
    """Train, fold in the hidden users and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--splits", type=int, default=3, metavar="N", help="number of splits (%(default)s)")
    parser.add_argument(
        "--spread", type=float, default=SPREAD, metavar="X", help="spread of the prior (%(default)s)"
    )
    parser.add_argument(
        "--tune", action="store_true", help="also print the RMSE of the validation users by spread"
    )
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="keep the runs in this folder and reuse finished ones"
    )
    args, overrides = parser.parse_known_args()
    logging.disable(logging.WARNING)
    register_resolvers()
    mirror = Path(os.environ.get("RECSYS_MIRROR", "")) / "ml-100k.zip"
    if not any(override.startswith("data=") for override in overrides):
        overrides.append("data=ml-100k" if mirror.is_file() else "data=synthetic")
    with tempfile.TemporaryDirectory() as scratch:
        runs = []
        for seed in range(args.splits):
            folder = (args.keep or Path(scratch)) / str(seed)
            print(f"split {seed + 1} of {args.splits}: {folder}", file=sys.stderr)
            is_finished = (folder / "result.json").is_file()
            runs.append(load_run(str(folder)) if is_finished else train_without(overrides, seed, folder))
    if args.tune:
        tune(runs)
    found: dict[tuple[str, int], list] = {(method, n): [] for method in METHODS for n in GIVEN}
    n_users, start = 0, time.perf_counter()
    for run in runs:
        users = list(hidden_users(run, 1))
        n_users += len(users)
        for key, errors in squared_errors(run, users, make_prior(run, args.spread)).items():
            found[key] += errors
    if n_users == 0:
        sys.exit(f"no hidden user has more than {max(GIVEN)} ratings; use a larger dataset")
    seconds = (time.perf_counter() - start) / (n_users * len(GIVEN))
    pairs = sum(map(len, found[METHODS[0], GIVEN[0]]))
    first = runs[0].result
    print(
        f"{first['data']['name']}, {first['model']['name']}: RMSE of {n_users} test users, {pairs:,} ratings"
    )
    print(f"in {args.splits} splits; prior spread {args.spread}; {1000 * seconds:.0f} ms per user\n")
    print(f"| given ratings | {' | '.join(map(str, GIVEN))} |\n|---|{'---|' * len(GIVEN)}")
    for method in METHODS:
        print(f"| {method} | {' | '.join(f'{rmse(found[method, n]):.4f}' for n in GIVEN)} |")


if __name__ == "__main__":
    main()
