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
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

FOLDS, SCALE, SEED = 5, (1.0, 5.0), 1
MARK = "Surprise SVD"
THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "LK_NUM_THREADS",
)


class Fold:
    """What a row fits on and is measured on, and the stopwatch of its fit.

    Attributes:
        number: of the fold.
        mark: the RMSE to reach; None where there is none.
        train, test: frames with the columns user, movie (row numbers) and rating.
        seconds: spent inside `with`, less those in which the test pairs are looked at.
        reached: the seconds at the first look at or below the mark.
    """

    def __init__(self, number: int, mark: float | None, train: dict, test: dict) -> None:
        self.number, self.mark = number, mark
        self.train, self.test = pd.DataFrame(train), pd.DataFrame(test)
        self.seconds, self._since = 0.0, 0.0
        self.reached: float | None = None

    def errors(self, predicted: NDArray) -> tuple[float, float]:
        """RMSE and MAE of predictions for the test pairs, (n,)."""
        error = np.clip(np.asarray(predicted, dtype=float), *SCALE) - self.test["rating"].to_numpy()
        if not np.isfinite(error).all():
            raise ValueError(f"fold {self.number}: a prediction is not a number")
        return float(np.sqrt((error**2).mean())), float(np.abs(error).mean())

    def look(self, predict: Callable[[], NDArray]) -> None:
        """Note the seconds if this is the first time that the errors are at or below the mark."""
        self.seconds += time.perf_counter() - self._since
        if self.reached is None and self.mark is not None and self.errors(predict())[0] <= self.mark:
            self.reached = self.seconds
        self._since = time.perf_counter()

    def __enter__(self) -> None:
        self._since = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._since


Fit = Callable[[Fold], NDArray]  # fits, and returns predictions for the test pairs, (n,)


def surprise(algorithm: str) -> Fit:
    """Surprise with its defaults."""

    def fit(fold: Fold) -> NDArray:
        import surprise

        reader = surprise.Reader(rating_scale=SCALE)
        trainset = surprise.Dataset.load_from_df(fold.train, reader).build_full_trainset()
        model = getattr(surprise, algorithm)(random_state=SEED)
        with fold:
            model.fit(trainset)
        return np.array([model.predict(pair.user, pair.movie).est for pair in fold.test.itertuples()])

    return fit


def cornac(fold: Fold) -> NDArray:
    """Cornac's MF with its defaults; threads write without locks, so that its errors vary a little."""
    from cornac.data import Dataset
    from cornac.models import MF

    data = Dataset.from_uir(list(fold.train.itertuples(index=False, name=None)))
    model = MF(num_threads=int(os.environ["OMP_NUM_THREADS"]))
    with fold:
        model.fit(data)
    users = [data.uid_map.get(user, data.num_users) for user in fold.test["user"]]
    movies = [data.iid_map.get(movie, data.num_items) for movie in fold.test["movie"]]
    return np.array([model.rate(user, movie) for user, movie in zip(users, movies, strict=True)])


def lenskit(fold: Fold) -> NDArray:
    """LensKit's BiasedMF (alternating least squares) with its defaults; biases where it knows no movie."""
    from lenskit import predict
    from lenskit.als import BiasedMFScorer
    from lenskit.data import ItemList, from_interactions_df
    from lenskit.pipeline import predict_pipeline
    from lenskit.training import TrainingOptions

    data = from_interactions_df(fold.train.set_axis(["user_id", "item_id", "rating"], axis=1))
    pipeline = predict_pipeline(BiasedMFScorer())
    with fold:
        pipeline.train(data, TrainingOptions(rng=SEED))
    predicted = np.empty(len(fold.test))
    for user, rows in fold.test.groupby("user").indices.items():
        movies = ItemList(item_ids=fold.test["movie"].to_numpy()[rows])
        predicted[rows] = predict(pipeline, user, movies).scores()
    return predicted


def fastai(**choices: Any) -> Fit:
    """fastai's collab_learner as in its tutorial: batches of 64, five epochs of one cycle."""

    def fit(fold: Fold) -> NDArray:
        import torch
        from fastai.callback.core import Callback, CancelValidException
        from fastai.collab import CollabDataLoaders, collab_learner
        from fastai.torch_core import set_seed

        set_seed(SEED)
        loaders = CollabDataLoaders.from_df(fold.train, valid_pct=0)
        learner = collab_learner(loaders, y_range=(0.5, 5.5), **choices)
        pairs = loaders.test_dl(fold.test, bs=16_384)

        @torch.no_grad()
        def predict() -> NDArray:  # as Learner.get_preds, which cannot be called while fitting
            model = learner.model.eval()
            return torch.cat([model(*batch[: loaders.n_inp]).flatten() for batch in pairs]).numpy()

        class Look(Callback):
            def before_validate(self) -> None:
                raise CancelValidException  # there is nothing to validate on

            def after_epoch(self) -> None:
                fold.look(predict)

        with learner.no_bar(), learner.no_logging(), fold:
            learner.fit_one_cycle(5, 5e-3, wd=0.1, cbs=Look())
        return predict()

    return fit


def ours(*overrides: str) -> Fit:
    """What `recsys-train` trains, with the weights of the best validation epoch."""

    def fit(fold: Fold) -> NDArray:
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

        words = [*DATA, f"split.fold={fold.number}", "hardware=cpu", "logger=none", f"seed={SEED}"]
        with hydra.initialize_config_dir(config_folder(), version_base="1.3"):
            cfg = hydra.compose("train", [*words, *overrides])
        config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
        data = build_data(cfg)
        data.setup()
        test = data.whole("test")
        module = build_module(cfg, config, data)
        looking = LambdaCallback(on_validation_end=lambda *_: fold.look(lambda: predict(module.network)))
        with tempfile.TemporaryDirectory() as folder:
            trainer = build_trainer(cfg, Path(folder), looking)
            with fold:
                trainer.fit(module, data)
            return predict(load_checkpoint(best_checkpoint(Path(folder))).network)

    return fit


DATA = ["data=ml-100k", "split=kfold", f"split.k={FOLDS}"]
ROWS = {  # the package that must be there, and what fits and predicts
    MARK: ("surprise", surprise("SVD")),
    "Surprise SVD++": ("surprise", surprise("SVDpp")),
    "cornac MF": ("cornac", cornac),
    "LensKit BiasedMF": ("lenskit", lenskit),
    "fastai, dot product and biases": ("fastai", fastai(n_factors=50)),
    "fastai, use_nn": ("fastai", fastai(use_nn=True, layers=[100, 50])),
    "recsys": ("recsys", ours()),
    "recsys, matrix-factorization": ("recsys", ours("model=matrix-factorization", "optimizer=adamw")),
}


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

    from recsys.command import config_folder
    from recsys.training.build import build_data

    folds = []
    for number in numbers:
        with hydra.initialize_config_dir(config_folder(), version_base="1.3"):
            data = build_data(hydra.compose("train", [*DATA, f"split.fold={number}"]))
        data.setup()
        dataset, split = data.dataset, data.split
        assert dataset is not None
        columns = {"user": dataset.users, "movie": dataset.movies, "rating": dataset.ratings}
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
