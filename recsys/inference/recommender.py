"""Recommender: predictions and recommendations of a finished run, with raw ids and titles.

    Recommender.load("latest").recommend(42)

It only translates: the modules that compute (`scoring`, `fold_in`, `similar`) work with indices.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, overload

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray

from recsys.data.biases import Biases
from recsys.data.ids import as_array, in_shape_of
from recsys.errors import RunError
from recsys.inference.bias_fallback import predict_biases
from recsys.inference.catalogue import Catalogue
from recsys.inference.cold_start import ColdStart
from recsys.inference.given_ratings import Ratings, given_features, index_interactions, index_ratings
from recsys.inference.new_item import NewItem
from recsys.inference.new_user import NewUser
from recsys.inference.ratings_csv import read_ratings_csv
from recsys.inference.recommendations import best_items
from recsys.inference.similar import similar_items, similar_users
from recsys.models.heads import relevance_threshold
from recsys.models.scorer import Precision
from recsys.models.scoring import Seen, deviations_of_pairs, predict_pairs, relevance_of_pairs
from recsys.runs.load import LoadedRun, load_run

OnUnknown = Literal["raise", "bias"]


class Recommender:
    """Answers queries about users and items from a finished run.

    Users and items are raw ids, as in the ratings file; an item may also be a title. A scalar argument returns a
    scalar or a plain table; an array returns an array, or a table with a column that repeats the argument.
    Predictions are ratings. A run with loss=bpr or loss=softmax has scores instead, which order the items of one
    user and cannot be compared between users.

    Examples:
        >>> recommender = Recommender(load_run(run))
        >>> recommender.recommend(7, k=2).columns.tolist()
        ['item', 'title', 'year', 'genres', 'prediction', 'ratings']
        >>> isinstance(recommender.predict(7, "synthetic item 3"), float)
        True
        >>> recommender.predict([7, 8, 9], 3).shape
        (3,)
        >>> eve = recommender.fold_in({1: 5, "synthetic item 2": 1.5})
        >>> len(eve.recommend(k=3)), 0 < eve.explained < 1
        (3, True)

    Args:
        run: a loaded run.
    """

    def __init__(self, run: LoadedRun) -> None:
        self.run = run
        self.scorer = run.checkpoint.scorer
        self.user_ids = run.checkpoint.user_ids
        self.catalogue = Catalogue(
            run.checkpoint.item_ids,
            run.data.item_table,
            run.data.item_counts,
            self.scorer.scale,
            self.scorer.predicts_ratings,
            run.data.has_ratings,
        )
        self.cold_start = ColdStart(run, self.catalogue)

    @classmethod
    def load(
        cls, run: str | Path = "latest", trust: bool = False, device: torch.device | str = "cpu"
    ) -> "Recommender":
        """Load a run from its folder, which is all it needs, or the newest completed run under ./outputs.

        Args:
            run: a run folder, or "latest".
            trust: whether its network may be of any class, not only of one of recsys; see docs/security.md.
            device: where it computes; a GPU is worth it for many users.

        Raises:
            UserError: there is no such run, or its files are damaged or not trusted.
        """
        return cls(load_run(run, trust=trust, device=device))

    @overload
    def predict(  # type: ignore[overload-overlap]
        self, users: int | str, items: int | str, on_unknown: OnUnknown = "raise"
    ) -> float: ...
    @overload
    def predict(
        self, users: ArrayLike, items: ArrayLike, on_unknown: OnUnknown = "raise"
    ) -> NDArray[np.float32]: ...
    def predict(self, users: Any, items: Any, on_unknown: OnUnknown = "raise") -> Any:
        """Return predicted ratings, clipped to the scale.

        Args:
            users: raw ids.
            items: raw ids or titles; users and items broadcast against each other.
            on_unknown: "raise" refuses unknown users and items; "bias" predicts mean + user bias + item bias for
                them, where the bias of an unknown user or item is 0.

        Returns:
            A float for two scalars, otherwise float32 in the common shape.

        Raises:
            UnknownIdError: a user or item is unknown; lists the nearest known ones.
        """
        user_indices = self._user_indices(users, on_unknown)
        item_indices = self.catalogue.to_indices(items, missing_ok=on_unknown == "bias")
        u, i = np.broadcast_arrays(user_indices, item_indices)
        known = (u >= 0) & (i >= 0)
        ratings = np.empty(known.shape, dtype=np.float32)
        ratings[known] = predict_pairs(self.scorer, u[known], i[known])
        if not known.all():
            ratings[~known] = predict_biases(self.biases, u[~known], i[~known], self.scorer.scale)
        return ratings if ratings.ndim else float(ratings)

    def deviations(self, users: Any, items: Any) -> Any:
        """Return by how much the networks that the run averages disagree on a prediction, in rating points.

        They are the snapshots of one training, or the members of `recsys-average`. The noise of single ratings is not
        included.

        Args:
            users: raw ids.
            items: raw ids or titles; users and items broadcast against each other.

        Returns:
            Standard deviations in the common shape, a float for two scalars; nan if the run has one network.

        Raises:
            UnknownIdError: a user or item is unknown; lists the nearest known ones.
        """
        u, i = np.broadcast_arrays(self.user_ids.to_indices(users), self.catalogue.to_indices(items))
        return in_shape_of(u, deviations_of_pairs(self.scorer, u.ravel(), i.ravel()))

    def relevance(self, users: Any, items: Any) -> Any:
        """Return P(rating >= threshold), with the threshold of the run (ranking.threshold).

        Args:
            users: raw ids.
            items: raw ids or titles; users and items broadcast against each other.

        Returns:
            Probabilities in the common shape, a float for two scalars; nan if the network does not predict
            probabilities, as model.head=ordinal does.

        Raises:
            UnknownIdError: a user or item is unknown; lists the nearest known ones.
            RunError: the run does not predict ratings.
        """
        self._require_ratings("relevance")
        u, i = np.broadcast_arrays(self.user_ids.to_indices(users), self.catalogue.to_indices(items))
        threshold = relevance_threshold(self.run.checkpoint.ranking[1], self.scorer.scale)
        return in_shape_of(u, relevance_of_pairs(self.scorer, u.ravel(), i.ravel(), threshold))

    def recommend(
        self,
        users: Any,
        k: int = 10,
        filter_seen: bool = True,
        genres: Sequence[str] | str | None = None,
        years: Sequence[int] | int | None = None,
        min_ratings: int = 10,
        on_unknown: OnUnknown = "raise",
        candidates: Precision = "fp32",
        where: str | None = None,
    ) -> pd.DataFrame:
        """Return the k best items for each user (top-N recommendation).

        They are those with the highest predictions, or after loss=joint with the highest scores: see `JointScorer`.

        Args:
            users: a raw id, or an array of them.
            k: number of items per user; fewer if fewer are left.
            filter_seen: leave out all items that the user has rated, in any subset.
            genres: only items with at least one of these genres.
            years: only items of this year, or from the first to the last of two years.
            min_ratings: only items with at least this many ratings; predictions for rarely rated items are
                uncertain. 0: all items.
            on_unknown: "raise" refuses unknown users; "bias" gives them the items with the highest bias.
            candidates: precision in which candidates are found; "bf16" and "int8" are faster for many users and
                items. Predictions are float32.
            where: only items whose columns fulfil a condition, such as "price<20"; see `recsys.inference.where`.

        Returns:
            Columns item, title, year, genres, prediction (clipped to the scale), ratings (the item's number of
            ratings), best items first. For an array of users, the first column is user. After loss=joint, the column
            score comes before prediction; scores order the items of one user and cannot be compared between users. If
            several networks are averaged, the column deviation comes after it: see `deviations`.

        Raises:
            UserError: a user is unknown, or no item passes the filters.
            ValueError: `k`, `on_unknown` or `candidates` is not allowed.
        """
        if k < 1:
            raise ValueError(f"k={k}: must be at least 1")
        if candidates not in get_args(Precision):
            raise ValueError(f"candidates={candidates!r}: must be one of {', '.join(get_args(Precision))}")
        asked = as_array(users)
        indices = self._user_indices(np.atleast_1d(asked), on_unknown)
        allowed = self.catalogue.allowed(genres, years, min_ratings, where)
        seen = self.seen if filter_seen else None
        table, position = best_items(
            self.scorer, self.catalogue, self.biases, indices, k, seen, allowed, candidates
        )
        if asked.ndim:
            table.insert(0, "user", np.atleast_1d(asked)[position])
        return table

    def similar_items(
        self,
        items: Any,
        k: int = 10,
        min_ratings: int = 20,
        genres: Sequence[str] | str | None = None,
        years: Sequence[int] | int | None = None,
        where: str | None = None,
    ) -> pd.DataFrame:
        """Return the k most similar items by the cosine of their vectors.

        Args:
            items: a raw id or title, or an array of them.
            k: number of similar items for each; fewer if fewer are left.
            min_ratings: leave out items with fewer ratings; their vectors are mostly noise.
            genres: only items with at least one of these genres; `years` and `where` as in `recommend`.
            years: only items of this year, or from the first to the last of two years.
            where: only items whose columns fulfil a condition.

        Returns:
            Columns item, title, year, genres, similarity (-1 to 1), ratings. For an array, the first column is
            `to`, the item that the others are similar to.

        Raises:
            UserError: an item is unknown, or the model has no vectors.
        """
        indices = self.catalogue.to_indices(items)
        allowed = self.catalogue.allowed(genres, years, 0, where)
        return similar_items(self.run, self.catalogue, indices, k, min_ratings, allowed)

    def similar_users(self, users: Any, k: int = 10) -> pd.DataFrame:
        """Return the k most similar users by the cosine of their vectors.

        Args:
            users: a raw id, or an array of them.
            k: number of similar users for each.

        Returns:
            Columns user, similarity, ratings (the user's number of ratings); for an array, `to` is the first.

        Raises:
            UserError: a user is unknown, or the model has no vectors.
        """
        return similar_users(self.run, self.user_ids.to_indices(users), k)

    def fold_in(self, ratings: Ratings | Iterable[Any]) -> NewUser:
        """Return a new user described by ratings, or by interactions.

        Args:
            ratings: from raw item ids or titles to ratings on the scale; without any, the result is the mean user. If
                the data of the run has no ratings: raw item ids or titles of the user's interactions.

        Raises:
            UserError: an item is unknown, a rating is off the scale, or the run's files do not allow fold-in.
        """
        if self.run.data.has_ratings:
            return self.cold_start.new_user(
                index_ratings(ratings, self.catalogue.to_index, self.scorer.scale)
            )
        return self.cold_start.new_user(index_interactions(ratings, self.catalogue.to_index))

    def fold_in_item(
        self,
        ratings: Ratings = (),
        genres: Sequence[str] | str | None = None,
        year: int | None = None,
        features: Mapping[str, Any] | pd.Series | None = None,
    ) -> NewItem:
        """Return a new item described by ratings, by features, or by both.

        Args:
            ratings: from raw user ids to ratings on the scale; only for a run that predicts ratings.
            genres: one genre or several of those that the run's items have.
            year: the release year; if no trained item has it, the nearest year of a trained item is used.
            features: values for columns of the table of items (`data.items`): {"price": 12.5, "tags": ["new", "eco"]}.
                Columns that are left out, and missing values, are unknown.

        Raises:
            UserError: a user or a genre is unknown, a rating is off the scale, a feature has another type than its
                column, or there are ratings and the run does not predict ratings.
        """
        users = index_ratings(
            ratings, lambda id: int(self.user_ids.to_indices(id)), self.scorer.scale, "user"
        )
        columns = list(self.run.data.item_table.columns.drop("title"))
        return self.cold_start.new_item(users, genres, year, given_features(features, columns))

    def fold_in_file(self, path: str | Path) -> NewUser:
        """Return a new user described by a CSV file of ratings or interactions; see `recsys.inference.ratings_csv`.

        Raises:
            UserError: the file cannot be read, a line is wrong, or as for `fold_in`.
        """
        data = self.run.data
        scale = self.scorer.scale if data.has_ratings else None
        ratings = read_ratings_csv(Path(path), self.catalogue.to_index, scale, data.id_columns[1])
        return self.cold_start.new_user(ratings)

    def export(self, path: str | Path) -> Path:
        """Write the scorer as ONNX or torch.export file and return its path; see `recsys.inference.export`."""
        from recsys.inference.export import export

        return export(self.run.checkpoint, Path(path))

    def user_id(self, text: Any) -> Any:
        """Return a typed user id as the type of the raw ids.

        Raises:
            UnknownIdError: the user is unknown.
        """
        id = self.user_ids.from_text(str(text))
        self.user_ids.to_indices(id)
        return id

    @property
    def seen(self) -> Seen:
        """The rated items of all users, from all subsets."""
        return self.run.data.seen

    @property
    def biases(self) -> Biases:
        """The bias model of the training set."""
        return self.run.data.biases

    def _user_indices(self, users: Any, on_unknown: OnUnknown) -> NDArray[np.int32]:
        """Return user indices, with -1 for unknown users if these get biases."""
        if on_unknown not in ("raise", "bias"):
            raise ValueError(f"on_unknown={on_unknown!r}: must be 'raise' or 'bias'")
        if on_unknown == "raise":
            return self.user_ids.to_indices(users)
        self._require_ratings("on_unknown='bias'")
        return self.user_ids.find_given(users)

    def _require_ratings(self, feature: str) -> None:
        if not self.scorer.predicts_ratings:
            raise RunError(
                f"run={self.run.folder}: {feature} needs predicted ratings, but the loss of this run only orders "
                "items; use a run with loss=pointwise"
            )
