"""Training time and errors of recsys and other libraries on the same folds of MovieLens 100K.

    python benchmarks/peers.py --folds 0
    python benchmarks/peers.py --rows "myFM, ordered probit" --split data=ml-100k split=official split.fold=u1
    python benchmarks/peers.py --python lenskit=/other/environment/bin/python

The script installs nothing: the row of a library that cannot be imported says so. Libraries that cannot share
an environment can be run by interpreters of their own (--python), which do not need this project.

Folds are those of `split=kfold` with k=5. Every library fits on all ratings outside the test set, with its
defaults or the settings of its tutorial; recsys holds out 5 % of them for early stopping. Errors are pooled
over all test ratings, predictions clipped to the scale. Seconds are those of the fit, after imports and after
conversion of the data. Each row is one process that fits all folds; the median over folds excludes one-time
costs of the first fit. Everything runs on the CPU, with one thread where that can be chosen: batches this
small are not faster with several threads (try --threads 2).

The target of a fold is the test RMSE of Surprise's SVD. fastai and recsys are evaluated after every epoch
while the clock is stopped; nothing is selected by this. `to target` is the training time of the first epoch
at or below the target, if all folds reach it. For other libraries it is the time of the whole fit.
"""

import argparse
import json
import logging
import os
import subprocess
import sys
import warnings
from contextlib import redirect_stdout
from statistics import fmean, median
from typing import Any

import numpy as np
from peer_rows import FOLDS, ROWS, TARGET, Fold

THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "LK_NUM_THREADS",
)


def measure_row(name: str) -> None:
    """Fit and measure the folds given on stdin; print the results to stdout as JSON."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    found: Any = []
    with redirect_stdout(sys.stderr):  # libraries print to stdout
        try:
            for fold in (Fold(**arguments) for arguments in json.load(sys.stdin)):
                rmse, mae = fold.errors(ROWS[name][1](fold))
                seconds, reached = fold.seconds, fold.reached
                if reached is None and fold.target is not None and rmse <= fold.target:
                    reached = seconds
                print(f"{name}, fold {fold.number}: {seconds:.2f} s, RMSE {rmse:.4f}", file=sys.stderr)
                found.append({"rmse": rmse, "mae": mae, "seconds": seconds, "reached": reached})
        except ModuleNotFoundError as error:
            found = f"not installed: no module {error.name}"
    print(json.dumps(found))


def run_row(name: str, python: str, threads: int, folds: list[dict[str, Any]]) -> Any:
    """Measure a row in a new process; return a list of results, or the reason why there are none."""
    environment = os.environ | dict.fromkeys(THREADS, str(threads)) | {"CUDA_VISIBLE_DEVICES": ""}
    command = [python, __file__, "--row", name]
    process = subprocess.run(
        command, input=json.dumps(folds), env=environment, stdout=subprocess.PIPE, text=True
    )
    return (
        json.loads(process.stdout) if process.returncode == 0 else f"failed: exit code {process.returncode}"
    )


def read_folds(splits: dict[int, list[str]]) -> list[dict[str, Any]]:
    """Return the arguments of a `Fold` for each split by its number; the validation set is part of the training set."""
    from recsys import compose
    from recsys.models.features import item_features, user_features
    from recsys.training.build import build_data

    folds = []
    for number, overrides in splits.items():
        data = build_data(compose(*overrides))
        data.setup()
        dataset, split = data.dataset, data.split
        columns = {"user": dataset.users, "item": dataset.items, "rating": dataset.ratings}
        subsets = {"train": np.union1d(split.train, split.val), "test": split.test}
        frames = {
            subset: {name: column[rows].tolist() for name, column in columns.items()}
            for subset, rows in subsets.items()
        }
        features = {
            "user_features": user_features(dataset).tolist(),
            "item_features": item_features(dataset).tolist(),
        }
        folds.append({"number": number, "overrides": overrides, "target": None, **frames, **features})
    return folds


def table_row(name: str, found: Any) -> str:
    """Return a table row in Markdown."""
    if isinstance(found, str):
        return f"| {name} | {found} | | | |"
    reached = [fold["reached"] for fold in found if fold["reached"] is not None]
    target = (
        f"{median(reached):.2f}" if len(reached) == len(found) else f"{len(reached)} of {len(found)} folds"
    )
    rmse, mae = (fmean(fold[key] for fold in found) for key in ("rmse", "mae"))
    return f"| {name} | {rmse:.4f} | {mae:.4f} | {median(fold['seconds'] for fold in found):.2f} | {target} |"


def main() -> None:
    """Measure all rows and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    option, cores = parser.add_argument, os.cpu_count() or 1
    option("--split", nargs="+", metavar="KEY=VALUE", help="overrides of another split, instead of folds")
    option("--folds", type=int, nargs="+", default=list(range(FOLDS)), help="fold numbers, 0 to 4 (all)")
    option("--rows", nargs="+", default=list(ROWS), choices=list(ROWS), metavar="ROW", help=", ".join(ROWS))
    option("--python", action="append", default=[], metavar="PACKAGE=PATH", help="interpreter for a package")
    option("--threads", type=int, default=1, help="threads per library (%(default)s)")
    option("--row", help=argparse.SUPPRESS)  # used by `run_row`
    args = parser.parse_args()
    if args.row:
        measure_row(args.row)
        return
    pythons = dict(choice.split("=", 1) for choice in args.python)
    kfold = ["data=ml-100k", "split=kfold", f"split.k={FOLDS}"]
    splits = {0: args.split} if args.split else {n: [*kfold, f"split.fold={n}"] for n in args.folds}
    folds, found = read_folds(splits), {}
    for name in [TARGET, *(row for row in args.rows if row != TARGET)]:
        found[name] = run_row(name, pythons.get(ROWS[name][0], sys.executable), args.threads, folds)
        if name == TARGET and not isinstance(found[TARGET], str):
            for fold, result in zip(folds, found[TARGET], strict=True):
                fold["target"], result["reached"] = result["rmse"], result["seconds"]
    of = " ".join(args.split) if args.split else f"ml-100k, folds {args.folds} of {FOLDS}"
    print(f"{of}, {cores} cores, threads: {args.threads}\n")
    print("| | RMSE | MAE | seconds | to target |\n| --- | ---: | ---: | ---: | ---: |")
    print("\n".join(table_row(name, result) for name, result in found.items()))


if __name__ == "__main__":
    main()
