"""Rankings for users without training ratings: NDCG@10, and RMSE, of the ways to find a new user's vector.

Users are hidden and their ratings are given as in fold_in.py. All items are ranked except a user's first 20; relevant
are the items after the 20th that the user rated 4 or higher.

    python benchmarks/fold_in_ranking.py               # ml-100k if RECSYS_MIRROR has it, otherwise synthetic
    python benchmarks/fold_in_ranking.py snapshots=1   # with encoded vectors, for which a run needs a single network
    python benchmarks/fold_in_ranking.py experiment=top-n
    python benchmarks/fold_in_ranking.py --half 0      # the half of the hidden users on which choices are made
"""

import argparse
import logging
import math
import tempfile
from pathlib import Path

import numpy as np
import torch
from encoded_rows import RowEncoder
from fold_in import GIVEN, HiddenUser, hidden_users, rmse, runs_without_hidden_users
from numpy.typing import NDArray
from torch import Tensor

from recsys.inference.fold_in import SPREAD, Prior
from recsys.inference.fold_in_choices import CHOICE_SPREAD, ChoicePrior
from recsys.models.scorer import Scorer
from recsys.runs.load import LoadedRun
from recsys.runs.ratings import RunRatings, load_ratings

K, THRESHOLD = 10, 4.0
ONE = torch.zeros(1, dtype=torch.long)
Rankings = dict[str, list[NDArray]]


def ndcg(scores: Tensor, user: HiddenUser) -> float:
    """Return NDCG@10 of scores (n_items,) for the ratings of a user after the 20th."""
    scores = scores.clone()
    scores[torch.from_numpy(user.items[: max(GIVEN)])] = -torch.inf
    relevant = user.items[max(GIVEN) :][user.ratings[max(GIVEN) :] >= THRESHOLD]
    hits = np.isin(scores.topk(K).indices.numpy(), relevant)
    gains = 1 / np.log2(np.arange(2, K + 2))
    return float(hits @ gains / gains[: min(K, len(relevant))].sum()) if len(relevant) else math.nan


def squared_errors(scorer: Scorer, user: HiddenUser) -> NDArray:
    """Return the squared errors of the ratings of a user after the 20th; `scorer` has this user only."""
    items = torch.from_numpy(user.items[max(GIVEN) :])
    predicted = scorer.predict(torch.zeros_like(items), items).detach().numpy()
    return (predicted - user.ratings[max(GIVEN) :]) ** 2


def measure(
    run: LoadedRun,
    ratings: RunRatings,
    users: list[HiddenUser],
    n: int,
    spread: float,
    found: Rankings,
    errors: Rankings,
) -> None:
    """Add the NDCG of each method, given n ratings of each user, and squared errors if there are encoded vectors."""
    scorer, choices = run.checkpoint.scorer, ChoicePrior.of_run(run, spread)
    assert choices is not None
    encoder = RowEncoder.of_run(run, ratings, "user")
    prior = Prior.of_run(run, SPREAD) if scorer.predicts_ratings else None
    popularity = torch.from_numpy(run.data.item_counts.astype(np.float32))
    for user in users:
        items, values = torch.from_numpy(user.items[:n]), torch.from_numpy(user.ratings[:n])
        rows = {
            "fitted to all given items": choices.posterior_mode(items),
            "fitted to given items rated 4 or higher": choices.posterior_mode(items[values >= THRESHOLD]),
        }
        if encoder is not None:
            rows["encoded"] = encoder(items, values)
        if prior is None:
            rankers = {method: scorer.with_users(row[None]) for method, row in rows.items()}
        else:
            fitted = prior.posterior(items, values).scorer
            rankers = {method: fitted.ranker(row[None]) for method, row in rows.items()}
            rankers["fitted to the rating values"] = fitted.ranker()
            if encoder is not None:
                errors.setdefault("fitted", []).append(squared_errors(fitted, user))
                encoded = scorer.with_users(rows["encoded"][None])
                errors.setdefault("encoded", []).append(squared_errors(encoded, user))
        scores = {"popularity": popularity} | {
            method: ranker.score_catalogue(ONE)[0] for method, ranker in rankers.items()
        }
        for method, of_items in scores.items():
            found.setdefault(method, []).append(np.array([ndcg(of_items, user)]))


def print_table(title: str, columns: list[dict[str, float]]) -> None:
    """Print one row per method and one column per number of given ratings."""
    print(f"\n| {title} | {' | '.join(map(str, GIVEN))} |\n|---|{'---|' * len(GIVEN)}")
    for method in columns[0]:
        print(f"| {method} | {' | '.join(f'{column[method]:.4f}' for column in columns)} |")


def main() -> None:
    """Train without the hidden users, measure, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--splits", type=int, default=3, metavar="N", help="draws (%(default)s)")
    parser.add_argument("--half", type=int, default=1, choices=(0, 1), help="of hidden users (%(default)s)")
    parser.add_argument(
        "--spread", type=float, default=CHOICE_SPREAD, help="of the prior of choices (%(default)s)"
    )
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep runs in FOLDER, and reuse them")
    args, overrides = parser.parse_known_args()
    logging.disable(logging.WARNING)
    scratch = tempfile.TemporaryDirectory()
    rankings: list[Rankings] = [{} for _ in GIVEN]
    errors: list[Rankings] = [{} for _ in GIVEN]
    for run in runs_without_hidden_users(overrides, args.splits, args.keep or Path(scratch.name)):
        ratings = load_ratings(run)
        users = list(hidden_users(ratings, args.half))
        for n, ranking, error in zip(GIVEN, rankings, errors, strict=True):
            measure(run, ratings, users, n, args.spread, ranking, error)
    print(f"{run.result['data']['name']}, {run.result['model']['name']}, {args.splits} draws")
    print_table("NDCG@10", [{m: float(np.nanmean(v)) for m, v in column.items()} for column in rankings])
    if errors[0]:
        print_table(
            "RMSE", [{method: rmse(values) for method, values in column.items()} for column in errors]
        )


if __name__ == "__main__":
    main()
