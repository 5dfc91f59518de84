"""How well is somebody known whom the model has never met, from n = 1, 3, 5, 10, 20 ratings?

Whole users are hidden from training (split=new-users). Half of them choose the prior's spread (--tune shows
it); the table is of the other half. A user's ratings are shuffled: the first n are given, and errors are
those of the ratings after the 20th, the same for every n. Users of 20 ratings or fewer tell nothing here.

    python benchmarks/fold_in.py                       # ml-100k where RECSYS_MIRROR has it, else synthetic
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
EXPECTED = "fold-in, as it expects itself"
METHODS = ("user-mean", "item-mean", "folded-in user+item bias", "fold-in", EXPECTED)


class NewUser(NamedTuple):
    """A hidden user: item rows and ratings in the order in which they are given."""

    items: NDArray[np.int64]
    ratings: NDArray[np.float32]


def hidden_people(run: LoadedRun, half: int) -> Iterator[NewUser]:
    """Every second hidden user (half 0 or 1) with more than 20 ratings."""
    dataset, rows = run.dataset, run.split.test
    random = np.random.default_rng(0)
    for user in np.unique(dataset.users[rows]):
        own = random.permutation(rows[dataset.users[rows] == user])
        if len(own) > max(GIVEN) and user % 2 == half:
            yield NewUser(dataset.items[own].astype(np.int64), dataset.ratings[own])


def item_means(run: LoadedRun) -> NDArray[np.float64]:
    """The mean training rating of each item; the mean of all where it has none."""
    dataset, rows = run.dataset, run.split.train
    n = len(dataset.item_ids)
    counts = np.bincount(dataset.items[rows], minlength=n)
    sums = np.bincount(dataset.items[rows], dataset.ratings[rows], n)
    return np.where(counts > 0, sums / np.maximum(counts, 1), run.trained.network.mean)


def fold(prior: Prior, person: NewUser, n: int, target: NDArray) -> tuple[NDArray, NDArray]:
    """Ratings of `target` item rows after the person's first n, and the squared errors they should have."""
    found = prior.fit(torch.from_numpy(person.items[:n]), torch.from_numpy(person.ratings[:n]))
    rows = torch.from_numpy(target)
    ratings = found.network.predict(torch.zeros_like(rows), rows).detach()
    return ratings.numpy(), (found.deviations(rows).square() + prior.noise**2).numpy()


def squared_errors(
    run: LoadedRun, people: list[NewUser], prior: Prior
) -> dict[tuple[str, int], list[NDArray[np.float64]]]:
    """Of every method and n, one array per person."""
    biases: Biases = fit_biases(run.dataset, run.split.train)
    of_item = item_means(run)
    found: dict[tuple[str, int], list] = {(method, n): [] for method in METHODS for n in GIVEN}
    for person in people:
        target, true = person.items[max(GIVEN) :], person.ratings[max(GIVEN) :]
        for n in GIVEN:
            items, ratings = person.items[:n], person.ratings[:n].astype(float)
            user_bias = (ratings - biases.mean - biases.items[items]).sum() / (n + USER_DAMPING)
            predicted = {
                "user-mean": np.full(len(true), ratings.mean()),
                "item-mean": of_item[target],
                "folded-in user+item bias": biases.mean + user_bias + biases.items[target],
            }
            predicted["fold-in"], expected = fold(prior, person, n, target)
            found[EXPECTED, n].append(expected)
            for method, values in predicted.items():
                found[method, n].append((values.clip(*run.dataset.scale) - true) ** 2)
    return found


def train_without(overrides: list[str], seed: int, folder: Path) -> LoadedRun:
    """A run that has not seen a fifth of the users."""
    with hydra.initialize_config_dir(conf_dir(), version_base="1.3"):
        fixed = ["split=new-users", "split.test=0.2", f"split.seed={seed}", "logger=none", "hardware=cpu"]
        cfg = hydra.compose("train", [*fixed, *overrides])
    train(cfg, folder)
    return load_run(str(folder))


def prior_of(run: LoadedRun, spread: float) -> Prior:
    """The prior with the given spread."""
    noise = run.result["metrics"]["val/rmse"]
    return Prior.of(run.trained.network, run.trained_users, noise, spread)


def tune(runs: list[LoadedRun]) -> None:
    """Print the validation users' RMSE for each spread."""
    print("validation users: RMSE by the prior's spread and the number of ratings given\n")
    print(f"| spread | {' | '.join(map(str, GIVEN))} | mean |\n|---|{'---|' * (len(GIVEN) + 1)}")
    for spread in SPREADS:
        errors: dict[int, list] = {n: [] for n in GIVEN}
        for run in runs:
            prior = prior_of(run, spread)
            for person in hidden_people(run, 0):
                for n in GIVEN:
                    values, _ = fold(prior, person, n, person.items[max(GIVEN) :])
                    errors[n].append((values - person.ratings[max(GIVEN) :]) ** 2)
        scores = [rmse(errors[n]) for n in GIVEN]
        print(f"| {spread} | {' | '.join(f'{s:.4f}' for s in [*scores, np.mean(scores)])} |", flush=True)
    print()


def rmse(errors: list[NDArray]) -> float:
    """Pooled over all pairs."""
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
    parser.add_argument("--tune", action="store_true", help="RMSE of validation users by spread")
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="keep runs there, and use those of before"
    )
    args, overrides = parser.parse_known_args()
    logging.disable(logging.WARNING)
    register_resolvers()
    mirror = Path(os.environ.get("RECSYS_MIRROR", "")) / "ml-100k.zip"
    if not any(word.startswith("data=") for word in overrides):
        overrides.append("data=ml-100k" if mirror.is_file() else "data=synthetic")
    with tempfile.TemporaryDirectory() as scratch:
        runs = []
        for seed in range(args.splits):
            folder = (args.keep or Path(scratch)) / str(seed)
            print(f"split {seed + 1} of {args.splits}: {folder}", file=sys.stderr)
            done = (folder / "result.json").is_file()
            runs.append(load_run(str(folder)) if done else train_without(overrides, seed, folder))
    if args.tune:
        tune(runs)
    found: dict[tuple[str, int], list] = {(method, n): [] for method in METHODS for n in GIVEN}
    people, start = 0, time.perf_counter()
    for run in runs:
        some = list(hidden_people(run, 1))
        people += len(some)
        for key, errors in squared_errors(run, some, prior_of(run, args.spread)).items():
            found[key] += errors
    seconds = (time.perf_counter() - start) / (people * len(GIVEN))
    pairs = sum(map(len, found[METHODS[0], GIVEN[0]]))
    first = runs[0].result
    print(
        f"{first['data']['name']}, {first['model']['name']}: RMSE on {pairs:,} ratings of {people} test users"
    )
    print(f"in {args.splits} draws; prior spread {args.spread}; {1000 * seconds:.0f} ms for a person\n")
    print(f"| ratings given | {' | '.join(map(str, GIVEN))} |\n|---|{'---|' * len(GIVEN)}")
    for method in METHODS:
        print(f"| {method} | {' | '.join(f'{rmse(found[method, n]):.4f}' for n in GIVEN)} |")


if __name__ == "__main__":
    main()
