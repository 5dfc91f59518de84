"""What `peers.py` measures: a fold of MovieLens 100K, and for each row how a library fits it and predicts.

Libraries are imported by the fit that needs them: whoever lacks one can still measure the others.
"""

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

FOLDS, SCALE, SEED = 5, (1.0, 5.0), 1
MARK = "Surprise SVD"


class Fold:
    """What a row fits on and is measured on, and the stopwatch of its fit.

    Attributes:
        number: of the fold.
        mark: the RMSE to reach; None where there is none.
        train, test: frames with the columns user, item (row numbers) and rating.
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
        return np.array([model.predict(pair.user, pair.item).est for pair in fold.test.itertuples()])

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
    items = [data.iid_map.get(item, data.num_items) for item in fold.test["item"]]
    return np.array([model.rate(user, item) for user, item in zip(users, items, strict=True)])


def lenskit(fold: Fold) -> NDArray:
    """LensKit's BiasedMF (alternating least squares) with its defaults; biases where it knows no item."""
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
        items = ItemList(item_ids=fold.test["item"].to_numpy()[rows])
        predicted[rows] = predict(pipeline, user, items).scores()
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

        from recsys.models.base import RatingNetwork
        from recsys.paths import conf_dir
        from recsys.runs.checkpoint import load_checkpoint
        from recsys.runs.folder import checkpoint_in
        from recsys.training.build import build_data, build_module, build_trainer

        @torch.no_grad()
        def predict(network: RatingNetwork) -> NDArray:
            training = network.training
            network.eval()
            found = [network.predict(batch.users, batch.items) for batch in test]
            network.train(training)
            return torch.cat(found).numpy()

        words = [*DATA, f"split.fold={fold.number}", "hardware=cpu", "logger=none", f"seed={SEED}"]
        with hydra.initialize_config_dir(conf_dir(), version_base="1.3"):
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
            return predict(load_checkpoint(checkpoint_in(Path(folder))).network)

    return fit


DATA = ["data=ml-100k", "split=kfold", f"split.k={FOLDS}"]
FACTORS = ["model=matrix-factorization", "optimizer=adamw", "optimizer.lr=1e-3", "optimizer.weight_decay=0.5"]
FACTORS += ["l2.vectors=0", "l2.biases=0", "snapshots=1", "patience=10", "schedule.cycle_epochs=6"]
ROWS = {  # the package that must be there, and what fits and predicts
    MARK: ("surprise", surprise("SVD")),
    "Surprise SVD++": ("surprise", surprise("SVDpp")),
    "cornac MF": ("cornac", cornac),
    "LensKit BiasedMF": ("lenskit", lenskit),
    "fastai, dot product and biases": ("fastai", fastai(n_factors=50)),
    "fastai, use_nn": ("fastai", fastai(use_nn=True, layers=[100, 50])),
    "recsys": ("recsys", ours()),
    "recsys, embedding-net": ("recsys", ours("experiment=embedding-net")),
    "recsys, matrix-factorization": ("recsys", ours(*FACTORS)),
}
