"""Seconds and errors of other people's recommenders beside ours, over the same folds of MovieLens 100K.

    python benchmarks/peers.py --folds 0
    python benchmarks/peers.py --python lenskit=/other/environment/bin/python

Nothing is installed: a library that cannot be imported is a row that says so. Libraries that do not live
in one environment are each given an interpreter of their own (--python), which needs nothing of this project.

Folds are this project's (`split=kfold`, five). Everybody fits on what a fold's test part leaves, with the
library's defaults or the settings of its own tutorial; ours keeps 5 % of that aside to stop by. Errors are
pooled over all test pairs, predictions clipped to the scale. Seconds are those of the fit, after imports and
after the data are in the library's own form. A row is one process that goes through the folds, so the median
over folds leaves out what only the first fit pays for; all on the CPU, with --threads where it can be chosen.

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
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from statistics import fmean, median
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

FOLDS, SCALE, SEED = 5, (1.0, 5.0), 1
MARK = "Surprise SVD"


class Pairs(NamedTuple):
    """n ratings: user and movie row numbers int64 (n,), ratings float64 (n,)."""

    users: NDArray[np.int64]
    movies: NDArray[np.int64]
    ratings: NDArray[np.float64]


class Fold:
    """One fold, from the file that the parent process wrote: what to fit on, and what to be measured on."""

    def __init__(self, number: int, file: str, mark: float | None) -> None:
        columns = np.load(file)
        self.number, self.mark = number, mark
        self.train, self.test = (
            Pairs(*(columns[f"{part}_{column}"] for column in Pairs._fields)) for part in ("train", "test")
        )

    def errors(self, predicted: NDArray) -> tuple[float, float]:
        """RMSE and MAE of predictions for the test pairs, (n,)."""
        error = np.clip(np.asarray(predicted, dtype=float), *SCALE) - self.test.ratings
        if not np.isfinite(error).all():
            raise ValueError(f"fold {self.number}: a prediction is not a number")
        return float(np.sqrt((error**2).mean())), float(np.abs(error).mean())


class Watch:
    """The seconds inside `with`, less those in which the test pairs are looked at."""

    def __init__(self, fold: Fold) -> None:
        self.fold, self.seconds, self.reached, self._since = fold, 0.0, None, 0.0
        self.reached: float | None = None

    def __enter__(self) -> "Watch":
        self._since = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._since

    def look(self, predict: Callable[[], NDArray]) -> None:
        """Note the seconds if this is the first time that the errors are at or below the mark."""
        self.seconds += time.perf_counter() - self._since
        mark = self.fold.mark
        if self.reached is None and mark is not None and self.fold.errors(predict())[0] <= mark:
            self.reached = self.seconds
        self._since = time.perf_counter()


def surprise(algorithm: str) -> Callable[[Watch, int], NDArray]:
    """Surprise with its defaults."""

    def fit(watch: Watch, threads: int) -> NDArray:
        import pandas as pd
        from surprise import SVD, Dataset, Reader, SVDpp

        train, test = watch.fold.train, watch.fold.test
        data = Dataset.load_from_df(pd.DataFrame(train._asdict()), Reader(rating_scale=SCALE))
        trainset = data.build_full_trainset()
        model = {"SVD": SVD, "SVDpp": SVDpp}[algorithm](random_state=SEED)
        with watch:
            model.fit(trainset)
        pairs = zip(test.users.tolist(), test.movies.tolist(), strict=True)
        return np.array([model.predict(user, movie).est for user, movie in pairs])

    return fit


def cornac(watch: Watch, threads: int) -> NDArray:
    """Cornac's MF with its defaults; threads write without locks, so that its errors vary a little."""
    from cornac.data import Dataset
    from cornac.models import MF

    train, test = watch.fold.train, watch.fold.test
    data = Dataset.from_uir(list(zip(*(column.tolist() for column in train), strict=True)))
    model = MF(num_threads=threads)
    with watch:
        model.fit(data)
    rows = zip(test.users.tolist(), test.movies.tolist(), strict=True)
    known = [(data.uid_map.get(u, data.num_users), data.iid_map.get(m, data.num_items)) for u, m in rows]
    return np.array([model.rate(user, movie) for user, movie in known])


def lenskit(watch: Watch, threads: int) -> NDArray:
    """LensKit's BiasedMF (alternating least squares) with its defaults; biases where it knows no movie."""
    import pandas as pd
    from lenskit import predict
    from lenskit.als import BiasedMFScorer
    from lenskit.data import ItemList, from_interactions_df
    from lenskit.pipeline import predict_pipeline
    from lenskit.training import TrainingOptions

    (users, movies, ratings), test = watch.fold.train, watch.fold.test
    data = from_interactions_df(pd.DataFrame({"user_id": users, "item_id": movies, "rating": ratings}))
    pipeline = predict_pipeline(BiasedMFScorer())
    with watch:
        pipeline.train(data, TrainingOptions(rng=SEED))
    predicted = np.empty(len(test.ratings))
    for user in np.unique(test.users):
        rows = np.flatnonzero(test.users == user)
        predicted[rows] = predict(pipeline, int(user), ItemList(item_ids=test.movies[rows])).scores()
    return predicted


def fastai(**choices: Any) -> Callable[[Watch, int], NDArray]:
    """fastai's collab_learner as in its tutorial: batches of 64, five epochs of one cycle."""

    def fit(watch: Watch, threads: int) -> NDArray:
        import pandas as pd
        from fastai.callback.core import Callback, CancelValidException
        from fastai.callback.schedule import Learner  # with fit_one_cycle
        from fastai.collab import CollabDataLoaders, collab_learner
        from fastai.torch_core import set_seed

        set_seed(SEED)
        loaders = CollabDataLoaders.from_df(pd.DataFrame(watch.fold.train._asdict()), valid_pct=0)
        learner: Learner = collab_learner(loaders, **choices)
        pairs = loaders.test_dl(pd.DataFrame(watch.fold.test._asdict()), bs=16_384)

        def predict() -> NDArray:
            import torch

            model = learner.model.eval()
            with torch.no_grad():  # as Learner.get_preds, which cannot be called while fitting
                return torch.cat([model(*batch[: loaders.n_inp]).flatten() for batch in pairs]).numpy()

        class Look(Callback):  # type: ignore[misc]
            def before_validate(self) -> None:  # there is nothing to validate on
                raise CancelValidException

            def after_epoch(self) -> None:
                watch.look(predict)

        with learner.no_bar(), learner.no_logging(), watch:
            learner.fit_one_cycle(5, 5e-3, wd=0.1, cbs=Look())
        return predict()

    return fit


def ours(*overrides: str) -> Callable[[Watch, int], NDArray]:
    """What `recsys-train` trains, with the weights of the best validation epoch."""

    def fit(watch: Watch, threads: int) -> NDArray:
        import hydra
        import torch
        from omegaconf import OmegaConf
        from pytorch_lightning.callbacks import LambdaCallback

        from recsys.checkpoint import load_checkpoint
        from recsys.command import config_folder
        from recsys.models.network import RatingNetwork
        from recsys.training.build import best_checkpoint, build_data, build_module, build_trainer

        @torch.no_grad()
        def predict(network: RatingNetwork) -> NDArray:
            training = network.training
            network.eval()
            found = [network.predict(batch.users, batch.movies) for batch in test]
            network.train(training)
            return torch.cat(found).numpy()

        words = [*DATA, f"split.fold={watch.fold.number}", "hardware=cpu", "logger=none", f"seed={SEED}"]
        with hydra.initialize_config_dir(config_folder(), version_base="1.3"):
            cfg = hydra.compose("train", [*words, *overrides])
        config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
        data = build_data(cfg)
        data.setup()
        test = data.whole("test")
        module = build_module(cfg, config, data)
        looking = LambdaCallback(on_validation_end=lambda *_: watch.look(lambda: predict(module.network)))
        with tempfile.TemporaryDirectory() as folder:
            trainer = build_trainer(cfg, Path(folder), looking)
            with watch:
                trainer.fit(module, data)
            return predict(load_checkpoint(best_checkpoint(Path(folder))).network)

    return fit


DATA = ["data=ml-100k", "split=kfold", f"split.k={FOLDS}"]
ROWS = {  # the package that must be there, and what fits and predicts
    MARK: ("surprise", surprise("SVD")),
    "Surprise SVD++": ("surprise", surprise("SVDpp")),
    "cornac MF": ("cornac", cornac),
    "LensKit BiasedMF": ("lenskit", lenskit),
    "fastai, dot product and biases": ("fastai", fastai(n_factors=50, y_range=(0.5, 5.5))),
    "fastai, use_nn": ("fastai", fastai(use_nn=True, layers=[100, 50], y_range=(0.5, 5.5))),
    "recsys": ("recsys", ours()),
    "recsys, matrix-factorization": ("recsys", ours("model=matrix-factorization", "optimizer=adamw")),
}


def measure_row(name: str, threads: int, folds: list[dict[str, Any]]) -> list[dict[str, float | None]]:
    """All folds of one row, in this process."""
    found = []
    for fold in (Fold(**described) for described in folds):
        watch = Watch(fold)
        rmse, mae = fold.errors(ROWS[name][1](watch, threads))
        if watch.reached is None and (fold.mark is None or rmse <= fold.mark):
            watch.reached = watch.seconds
        print(f"{name}, fold {fold.number}: {watch.seconds:.2f} s, RMSE {rmse:.4f}", file=sys.stderr)
        found.append({"rmse": rmse, "mae": mae, "seconds": watch.seconds, "reached": watch.reached})
    return found


def write_folds(numbers: list[int], folder: Path) -> list[dict[str, Any]]:
    """A file for each fold, train and val together."""
    import hydra

    from recsys.command import config_folder
    from recsys.training.build import build_data

    folds = []
    for number in numbers:
        with hydra.initialize_config_dir(config_folder(), version_base="1.3"):
            data = build_data(hydra.compose("train", [*DATA, f"split.fold={number}"]))
        data.setup()
        dataset, split = data.dataset, data.split
        assert dataset is not None
        parts = {"train": np.sort(np.concatenate([split.train, split.val])), "test": split.test}
        columns = {
            f"{part}_{column}": getattr(dataset, column)[rows].astype(kind)
            for part, rows in parts.items()
            for column, kind in (("users", np.int64), ("movies", np.int64), ("ratings", np.float64))
        }
        np.savez(folder / f"{number}.npz", **columns)
        folds.append({"number": number, "file": str(folder / f"{number}.npz"), "mark": None})
    return folds


def run_row(name: str, python: str, threads: int, folds: list[dict[str, Any]]) -> Any:
    """A row in a process of its own: a list of measurements, or why there are none."""
    variables = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")
    environment = os.environ | dict.fromkeys(variables, str(threads)) | {"CUDA_VISIBLE_DEVICES": ""}
    environment["LK_NUM_THREADS"] = str(threads)
    command = [python, __file__, "--row", name, "--threads", str(threads)]
    done = subprocess.run(command, input=json.dumps(folds), env=environment, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout) if done.returncode == 0 else f"failed: exit code {done.returncode}"


def row_process(name: str, threads: int) -> None:
    """The other end of `run_row`."""
    folds = json.load(sys.stdin)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    with redirect_stdout(sys.stderr):  # libraries talk
        try:
            answer: Any = measure_row(name, threads, folds)
        except ModuleNotFoundError as error:
            answer = f"not installed: no module {error.name}"
    print(json.dumps(answer))


def line(name: str, found: Any, folds: int) -> str:
    """A row of the table, in Markdown."""
    if isinstance(found, str):
        return f"| {name} | {found} | | | |"
    reached = [fold["reached"] for fold in found if fold["reached"] is not None]
    mark = f"{median(reached):.2f}" if len(reached) == folds else f"{len(reached)} of {folds} folds"
    rmse, mae = (fmean(fold[key] for fold in found) for key in ("rmse", "mae"))
    return f"| {name} | {rmse:.4f} | {mae:.4f} | {median(fold['seconds'] for fold in found):.2f} | {mark} |"


def main() -> None:
    """Measure all rows and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    option = parser.add_argument
    option("--folds", type=int, nargs="+", default=list(range(FOLDS)), help="which of 0 to 4 (all)")
    option("--rows", nargs="+", default=list(ROWS), choices=list(ROWS), metavar="ROW", help=", ".join(ROWS))
    option("--python", action="append", default=[], metavar="PACKAGE=PATH", help="interpreter of a package")
    option("--threads", type=int, default=os.cpu_count() or 1, help="of every library (%(default)s)")
    option("--row", help=argparse.SUPPRESS)  # a process that measures one row; the folds come on stdin
    args = parser.parse_args()
    if args.row:
        row_process(args.row, args.threads)
        return
    pythons = dict(choice.split("=", 1) for choice in args.python)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        folds = write_folds(args.folds, Path(folder))
        for name in sorted(args.rows, key=lambda row: row != MARK):  # the marks first
            package = ROWS[name][0]
            found[name] = run_row(name, pythons.get(package, sys.executable), args.threads, folds)
            if name == MARK and not isinstance(found[name], str):
                folds = [fold | {"mark": seen["rmse"]} for fold, seen in zip(folds, found[name], strict=True)]
    print(f"ml-100k, folds {args.folds} of {FOLDS}, {os.cpu_count()} cores, {args.threads} threads\n")
    print("| | RMSE | MAE | seconds | to the mark |\n| --- | ---: | ---: | ---: | ---: |")
    print("\n".join(line(name, rows, len(folds)) for name, rows in found.items()))


if __name__ == "__main__":
    main()
