"""Seconds and errors of other people's recommenders beside ours, over the same folds of MovieLens 100K.

    python benchmarks/peers.py --folds 0
    python benchmarks/peers.py --python lenskit=/other/environment/bin/python

Nothing is installed: a library that cannot be imported is a row that says so. Libraries that do not live
in one environment are each given an interpreter of their own (--python), which needs nothing of this project.

Folds are this project's (`split=kfold`, five). Everybody fits on what a fold's test part leaves, with the
library's defaults or the settings of its own tutorial; ours keeps 5 % of that aside to stop by. Errors are
pooled over all test pairs, predictions clipped to the scale. Seconds are those of the fit, after imports and
after the data are in the library's own form. A row is one process that goes through the folds, so the median
over folds leaves out what only the first fit pays for. All on the CPU, and with one thread where that can be
chosen: batches this small are trained no faster by several, mostly slower (try --threads 2).

The mark of a fold is the test RMSE of Surprise's SVD. Rows that can be watched (fastai, ours) are measured
after every epoch while the clock stands still, and nothing is chosen by it: `to the mark` is the seconds of
training at the first epoch at or below the mark, where all folds get there. A row that cannot be watched has
its whole fit there if that ends at or below the mark.
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
from peer_rows import DATA, FOLDS, MARK, ROWS, Fold

THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "LK_NUM_THREADS",
)


def measure_row(name: str) -> None:
    """Fit and measure the folds on stdin, in this process; the answer goes to stdout."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    found: Any = []
    with redirect_stdout(sys.stderr):  # libraries talk
        try:
            for fold in (Fold(**described) for described in json.load(sys.stdin)):
                rmse, mae = fold.errors(ROWS[name][1](fold))
                seconds, reached = fold.seconds, fold.reached
                if reached is None and fold.mark is not None and rmse <= fold.mark:
                    reached = seconds
                print(f"{name}, fold {fold.number}: {seconds:.2f} s, RMSE {rmse:.4f}", file=sys.stderr)
                found.append({"rmse": rmse, "mae": mae, "seconds": seconds, "reached": reached})
        except ModuleNotFoundError as error:
            found = f"not installed: no module {error.name}"
    print(json.dumps(found))


def run_row(name: str, python: str, threads: int, folds: list[dict[str, Any]]) -> Any:
    """A row in a process of its own: a list of measurements, or in words why there are none."""
    environment = os.environ | dict.fromkeys(THREADS, str(threads)) | {"CUDA_VISIBLE_DEVICES": ""}
    command = [python, __file__, "--row", name]
    done = subprocess.run(
        command, input=json.dumps(folds), env=environment, stdout=subprocess.PIPE, text=True
    )
    return json.loads(done.stdout) if done.returncode == 0 else f"failed: exit code {done.returncode}"


def read_folds(numbers: list[int]) -> list[dict[str, Any]]:
    """The arguments of each `Fold`; train and val together."""
    import hydra

    from recsys.paths import conf_dir
    from recsys.training.build import build_data

    folds = []
    for number in numbers:
        with hydra.initialize_config_dir(conf_dir(), version_base="1.3"):
            data = build_data(hydra.compose("train", [*DATA, f"split.fold={number}"]))
        data.setup()
        dataset, split = data.dataset, data.split
        assert dataset is not None
        columns = {"user": dataset.users, "item": dataset.items, "rating": dataset.ratings}
        parts = {"train": np.union1d(split.train, split.val), "test": split.test}
        frames = {
            part: {name: column[rows].tolist() for name, column in columns.items()}
            for part, rows in parts.items()
        }
        folds.append({"number": number, "mark": None, **frames})
    return folds


def line(name: str, found: Any) -> str:
    """A row of the table, in Markdown."""
    if isinstance(found, str):
        return f"| {name} | {found} | | | |"
    reached = [fold["reached"] for fold in found if fold["reached"] is not None]
    mark = f"{median(reached):.2f}" if len(reached) == len(found) else f"{len(reached)} of {len(found)} folds"
    rmse, mae = (fmean(fold[key] for fold in found) for key in ("rmse", "mae"))
    return f"| {name} | {rmse:.4f} | {mae:.4f} | {median(fold['seconds'] for fold in found):.2f} | {mark} |"


def main() -> None:
    """Measure all rows and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    option, cores = parser.add_argument, os.cpu_count() or 1
    option("--folds", type=int, nargs="+", default=list(range(FOLDS)), help="which of 0 to 4 (all)")
    option("--rows", nargs="+", default=list(ROWS), choices=list(ROWS), metavar="ROW", help=", ".join(ROWS))
    option("--python", action="append", default=[], metavar="PACKAGE=PATH", help="interpreter of a package")
    option("--threads", type=int, default=1, help="of every library (%(default)s)")
    option("--row", help=argparse.SUPPRESS)  # a process of `run_row`
    args = parser.parse_args()
    if args.row:
        measure_row(args.row)
        return
    pythons = dict(choice.split("=", 1) for choice in args.python)
    folds, found = read_folds(args.folds), {}
    for name in [MARK, *(row for row in args.rows if row != MARK)]:
        found[name] = run_row(name, pythons.get(ROWS[name][0], sys.executable), args.threads, folds)
        if name == MARK and not isinstance(found[MARK], str):
            for fold, seen in zip(folds, found[MARK], strict=True):
                fold["mark"], seen["reached"] = seen["rmse"], seen["seconds"]
    print(f"ml-100k, folds {args.folds} of {FOLDS}, {cores} cores, threads: {args.threads}\n")
    print("| | RMSE | MAE | seconds | to the mark |\n| --- | ---: | ---: | ---: | ---: |")
    print("\n".join(line(name, measured) for name, measured in found.items()))


if __name__ == "__main__":
    main()
