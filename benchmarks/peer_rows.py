"""The rows of `peers.py`: how each library fits a fold of MovieLens 100K and predicts.

Each fit imports its own library, so that missing libraries do not affect the other rows.
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
TARGET = "Surprise SVD"


class Fold:
    """Training and test ratings of a fold, and a stopwatch for the fit.

    Attributes:
        number: of the fold.
        overrides: those that select data and split in recsys.
        target: RMSE to reach, or None.
        train, test: frames with the columns user, item (indices) and rating.
        user_features, item_features: (n_users, ...) and (n_items, ...).
        seconds: time inside `with`, without the evaluations.
        reached: seconds at the first evaluation at or below the target, or None.
    """

    def __init__(
        self,
        number: int,
        overrides: list[str],
        target: float | None,
        train: dict,
        test: dict,
        user_features: list[list[float]],
        item_features: list[list[float]],
    ) -> None:
        self.number, self.overrides, self.target = number, overrides, target
        self.user_features, self.item_features = np.array(user_features), np.array(item_features)
        self.train, self.test = pd.DataFrame(train), pd.DataFrame(test)
        self.seconds, self._since = 0.0, 0.0
        self.reached: float | None = None

    def errors(self, predicted: NDArray) -> tuple[float, float]:
        """Return RMSE and MAE of predictions (n,) for the test ratings."""
        error = np.clip(np.asarray(predicted, dtype=float), *SCALE) - self.test["rating"].to_numpy()
        if not np.isfinite(error).all():
            raise ValueError(f"fold {self.number}: a prediction is not finite")
        return float(np.sqrt((error**2).mean())), float(np.abs(error).mean())

    def evaluate(self, predict: Callable[[], NDArray]) -> None:
        """Evaluate with the clock stopped; record the time when the target is first reached."""
        self.seconds += time.perf_counter() - self._since
        if self.reached is None and self.target is not None and self.errors(predict())[0] <= self.target:
            self.reached = self.seconds
        self._since = time.perf_counter()

    def __enter__(self) -> None:
        self._since = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._since


Fit = Callable[[Fold], NDArray]  # fits and returns predictions (n,) for the test ratings


def surprise(algorithm: str) -> Fit:
    """Return the fit of a Surprise algorithm with its defaults."""

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
    """Fit Cornac's MF with its defaults; it writes without locks, so errors vary slightly."""
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
    """Fit LensKit's BiasedMF (alternating least squares) with its defaults; unknown items get biases."""
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
    """Return the fit of fastai's collab_learner as in its tutorial: batches of 64, five epochs, one cycle."""

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
        def predict() -> NDArray:  # Learner.get_preds cannot be called during fit
            model = learner.model.eval()
            return torch.cat([model(*batch[: loaders.n_inp]).flatten() for batch in pairs]).numpy()

        class Evaluate(Callback):
            def before_validate(self) -> None:
                raise CancelValidException  # there is no validation set

            def after_epoch(self) -> None:
                fold.evaluate(predict)

        with learner.no_bar(), learner.no_logging(), fold:
            learner.fit_one_cycle(5, 5e-3, wd=0.1, cbs=Evaluate())
        return predict()

    return fit


def myfm(fold: Fold) -> NDArray:
    """Fit a Bayesian factorization machine with ordered probit output, rank 10, by 512 Gibbs samples.

    Users have their features and the items they have rated, items likewise, as in the examples of the library.
    """
    import myfm
    from scipy.sparse import csr_matrix, hstack, identity

    n_users, n_items = len(fold.user_features), len(fold.item_features)
    pairs = fold.train["user"].to_numpy(), fold.train["item"].to_numpy()
    rated = csr_matrix((np.ones(len(fold.train)), pairs), shape=(n_users, n_items))

    def block(features: NDArray, history: csr_matrix) -> csr_matrix:
        counts = np.maximum(np.asarray(history.sum(1)), 1)
        return hstack([identity(len(features)), csr_matrix(features), history.multiply(counts**-0.5)]).tocsr()

    blocks = block(fold.user_features, rated), block(fold.item_features, rated.T.tocsr())
    shapes = [n_users, fold.user_features.shape[1], n_items, n_items, fold.item_features.shape[1], n_users]

    def relations(frame: pd.DataFrame) -> list[Any]:
        columns = zip(("user", "item"), blocks, strict=True)
        return [myfm.RelationBlock(frame[column].tolist(), data) for column, data in columns]

    values, index = np.unique(fold.train["rating"], return_inverse=True)
    model = myfm.MyFMOrderedProbit(rank=10, random_seed=SEED)
    with fold:
        model.fit(None, index, X_rel=relations(fold.train), n_iter=512, group_shapes=shapes)
    return model.predict_proba(None, relations(fold.test)) @ values


def recsys_train(*overrides: str) -> Fit:
    """Return the fit of `recsys-train`, with the weights of the best validation epoch."""

    def fit(fold: Fold) -> NDArray:
        from pytorch_lightning.callbacks import LambdaCallback

        from recsys import compose
        from recsys.models.scorer import Scorer
        from recsys.models.scoring import predict_pairs
        from recsys.runs.checkpoint import load_checkpoint
        from recsys.runs.folder import checkpoint_in
        from recsys.training.build import build_callbacks, build_data, build_module, build_trainer

        def predict(scorer: Scorer) -> NDArray:
            return predict_pairs(scorer, fold.test["user"].to_numpy(), fold.test["item"].to_numpy())

        fixed = [*fold.overrides, "hardware=cpu", "logger=none", f"seed={SEED}"]
        cfg = compose(*fixed, *overrides)
        data = build_data(cfg)
        data.setup()
        module = build_module(cfg, data)
        evaluation = LambdaCallback(
            on_validation_end=lambda *_: fold.evaluate(lambda: predict(module.evaluation.scorer))
        )
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            callbacks = build_callbacks(cfg, folder, data, module)
            trainer = build_trainer(cfg, folder, [*callbacks, evaluation])
            with fold:
                trainer.fit(module, data)
            return predict(load_checkpoint(checkpoint_in(folder)).scorer)

    return fit


FACTORS = ["model=matrix-factorization", "optimizer=adamw", "optimizer.lr=1e-3", "optimizer.weight_decay=0.5"]
FACTORS += ["l2.vectors=0", "l2.biases=0", "snapshots=1", "patience=10", "schedule.cycle_epochs=6"]
ROWS = {  # name: package, fit
    TARGET: ("surprise", surprise("SVD")),
    "Surprise SVD++": ("surprise", surprise("SVDpp")),
    "cornac MF": ("cornac", cornac),
    "LensKit BiasedMF": ("lenskit", lenskit),
    "myFM, ordered probit": ("myfm", myfm),
    "fastai, dot product and biases": ("fastai", fastai(n_factors=50)),
    "fastai, use_nn": ("fastai", fastai(use_nn=True, layers=[100, 50])),
    "recsys": ("recsys", recsys_train()),
    "recsys, embedding-net": ("recsys", recsys_train("experiment=embedding-net")),
    "recsys, matrix-factorization": ("recsys", recsys_train(*FACTORS)),
}
