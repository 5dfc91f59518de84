"""Recommender: a run answers questions of people, in raw ids and titles.

    Recommender.load("latest").recommend(42)

Everything here is a thin border around rows: `ranking`, `fold_in` and the networks know no ids.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from recsys.data.biases import Biases, fit_biases
from recsys.data.dataset import Dataset
from recsys.data.ids import IdMap
from recsys.errors import DataError, RunError
from recsys.inference.catalogue import Catalogue
from recsys.inference.fold_in import Prior
from recsys.inference.new_user import NewUser
from recsys.inference.ratings_csv import read_ratings_csv
from recsys.models.base import RatingNetwork
from recsys.models.scoring import Precision, Seen, rank, rate, top_k
from recsys.runs.load import LoadedRun, load_run

OnUnknown = Literal["raise", "bias"]


class Recommender:
    """A finished run that answers.

    Users and items are raw ids, as in the ratings file; a item may also be a title as people type it. A
    scalar is answered by a scalar or a plain table, an array by an array or a table that names each.
    Predictions are ratings; those of a run with loss=bpr or softmax are scores without a scale, which order
    one user's items and say nothing across users.

    >>> recommender = Recommender(load_run(run))
    >>> recommender.recommend(7, k=2).columns.tolist()
    ['item', 'title', 'year', 'genres', 'prediction', 'ratings']
    >>> isinstance(recommender.predict(7, "synthetic item 3"), float)
    True
    >>> recommender.predict([7, 8, 9], 3).shape
    (3,)
    >>> eve = recommender.fold_in({1: 5, "synthetic item 2": 1.5})
    >>> len(eve.recommend(k=3)), 0 < eve.known < 1
    (3, True)

    Args:
        run: opened.
    """

    def __init__(self, run: LoadedRun) -> None:
        self.run = run
        self.network: RatingNetwork = run.trained.network
        self.dataset: Dataset = run.dataset
        self.user_ids: IdMap = run.trained.user_ids
        self.catalogue = Catalogue(self.dataset, self.network.rates)

    @classmethod
    def load(cls, run: str | Path = "latest") -> "Recommender":
        """From a run folder, or the newest completed one under ./outputs.

        Raises:
            UserError: there is no such run, or its data are not what it was trained on.
        """
        return cls(load_run(str(run)))

    @overload
    def predict(  # type: ignore[overload-overlap]
        self, users: int | str, items: int | str, on_unknown: OnUnknown = "raise"
    ) -> float: ...
    @overload
    def predict(
        self, users: ArrayLike, items: ArrayLike, on_unknown: OnUnknown = "raise"
    ) -> NDArray[np.float32]: ...
    def predict(self, users: Any, items: Any, on_unknown: OnUnknown = "raise") -> Any:
        """Ratings that users would give, clipped to the scale.

        Args:
            users: raw ids, of any shape that goes with that of `items` by numpy's broadcasting.
            items: raw ids or titles, likewise.
            on_unknown: "bias" rates a pair with an unknown id by mean + user bias + item bias, where an
                unknown one's bias is 0; "raise" refuses it.

        Returns:
            A float for two scalars, otherwise float32 in the common shape.

        Raises:
            UnknownIdError: names the unknown ids, and the nearest known ones.
        """
        user_rows = self._user_rows(users, on_unknown)
        item_rows = self.catalogue.rows(items, missing_ok=on_unknown == "bias")
        user_rows, item_rows = np.broadcast_arrays(user_rows, item_rows)
        u, m = user_rows.ravel(), item_rows.ravel()
        known = (u >= 0) & (m >= 0)
        ratings = np.empty(u.shape, dtype=np.float32)
        ratings[known] = rate(self.network, u[known], m[known])
        if not known.all():
            b, u, m = self.biases, u[~known], m[~known]
            of_user, of_item = np.where(u >= 0, b.users[u], 0), np.where(m >= 0, b.items[m], 0)
            ratings[~known] = (b.mean + of_user + of_item).clip(*self.network.scale)
        return ratings.reshape(user_rows.shape) if user_rows.ndim else float(ratings[0])

    def recommend(
        self,
        users: Any,
        k: int = 10,
        filter_seen: bool = True,
        genres: Sequence[str] | str | None = None,
        years: Sequence[int] | int | None = None,
        min_ratings: int = 0,
        on_unknown: OnUnknown = "raise",
        candidates: Precision = "fp32",
    ) -> pd.DataFrame:
        """The items that users would rate highest.

        Args:
            users: a raw id, or an array (U,) of them.
            k: how many items for each; fewer where there are no more.
            filter_seen: leave out what the user has rated, in whatever part of the split.
            genres: only items of at least one of these.
            years: only items of this year, or from the first to the last of two.
            min_ratings: only items with as many ratings; of others little is known.
            on_unknown: "bias" gives unknown users the items with the highest bias.
            candidates: "bf16" or "int8" finds them in that precision, faster where users and items are many;
                ratings stay float32.

        Returns:
            Columns item, title, year, genres, prediction (clipped to the scale), ratings (how many the item
            has), best first; for an array of users, a column user before them, and k lines for each.

        Raises:
            UnknownIdError: names the unknown users.
            DataError: no item has such a genre or year.
        """
        asked = np.asarray(users)
        rows = self._user_rows(np.atleast_1d(asked), on_unknown)
        allowed = self.catalogue.choose(genres, years, min_ratings)
        known = rows >= 0
        values = np.empty((len(rows), min(k, self.network.n_items)), dtype=np.float32)
        items = np.empty(values.shape, dtype=np.int64)
        seen = self.seen if filter_seen else None
        values[known], items[known] = rank(self.network, rows[known], k, seen, allowed, candidates)
        if not known.all():
            scores = (self.biases.mean + self.biases.items).astype(np.float32)
            scores = np.where(allowed, scores, -np.inf) if allowed is not None else scores
            best, columns = top_k(torch.from_numpy(scores)[None], k)
            values[~known], items[~known] = best.numpy(), columns.numpy()
        found = np.isfinite(values)
        table = self.catalogue.table(items[found], values[found])
        if asked.ndim:
            table.insert(0, "user", np.repeat(np.atleast_1d(asked), found.sum(1)))
        return table

    def similar_items(self, items: Any, k: int = 10, min_ratings: int = 20) -> pd.DataFrame:
        """The nearest items by the cosine of their vectors.

        Args:
            items: a raw id or title, or an array (M,) of them.
            k: how many for each; fewer where there are no more.
            min_ratings: leave out items with fewer: their vectors are mostly chance.

        Returns:
            Columns item, title, year, genres, similarity (-1 to 1), ratings; for an array, a column `to`
            before them with the item that was asked for.

        Raises:
            UnknownIdError: names the unknown items.
            RunError: the network has no vectors.
        """
        rows = self.catalogue.rows(items)
        rated = torch.from_numpy(self.catalogue.ratings >= min_ratings) & self.run.trained_items
        values, near = self._neighbours("item", np.atleast_1d(rows), k, rated)
        found = np.isfinite(values)
        table = self.catalogue.table(near[found], values[found], "similarity")
        if rows.ndim:
            table.insert(0, "to", np.repeat(self.catalogue.ids.to_ids(rows), found.sum(1)))
        return table

    def similar_users(self, users: Any, k: int = 10) -> pd.DataFrame:
        """The nearest users by the cosine of their vectors.

        Args:
            users: a raw id, or an array (U,) of them.
            k: how many for each.

        Returns:
            Columns user, similarity (-1 to 1), ratings (how many they gave); for an array, a column `to`
            before them.

        Raises:
            UnknownIdError: names the unknown users.
            RunError: the network has no vectors.
        """
        rows = self.user_ids.to_indices(users)
        values, near = self._neighbours("user", np.atleast_1d(rows), k, self.run.trained_users)
        found = np.isfinite(values)
        counts = np.bincount(self.dataset.users, minlength=len(self.user_ids))[near[found]]
        ids = self.user_ids.to_ids(near[found])
        table = pd.DataFrame({"user": ids, "similarity": values[found], "ratings": counts})
        if rows.ndim:
            table.insert(0, "to", np.repeat(self.user_ids.to_ids(rows), found.sum(1)))
        return table

    def fold_in(self, ratings: Mapping[Any, float] | Iterable[tuple[Any, float]]) -> NewUser:
        """Somebody the model has never met.

        Args:
            ratings: from raw item ids or typed titles to ratings on the scale; may be empty, which is the
                mean user.

        Raises:
            UnknownIdError: no item has this id or title, or several have.
            DataError: a rating is off the scale, or a item is rated twice.
            RunError: the run's scores are no ratings.
        """
        given: dict[int, float] = {}
        low, high = self.network.scale
        for item, rating in ratings.items() if isinstance(ratings, Mapping) else ratings:
            row = int(self.catalogue.rows(item))
            if not low <= float(rating) <= high:
                raise DataError(f"item {item}: rating {rating} is off the scale, {low:g} to {high:g}")
            if row in given:
                raise DataError(f"item {item}: rated twice ({self.catalogue.titles.titles[row]})")
            given[row] = float(rating)
        return self._fold_in_rows(given)

    def fold_in_file(self, path: str | Path) -> NewUser:
        """Somebody whose ratings stand in a CSV file with the columns item (raw id or title) and rating.

        Raises:
            DataError: a column is missing, or a line cannot be right; names file, line and value.
        """
        return self._fold_in_rows(read_ratings_csv(Path(path), self.catalogue.row, self.network.scale))

    def export(self, path: str | Path) -> Path:
        """Write the network for other programs; see `recsys.inference.export`."""
        from recsys.inference.export import export

        return export(self.run.trained, Path(path))

    def user_id(self, typed: Any) -> Any:
        """A user id as it was typed, number or text, in the kind that the ids have; checked.

        Raises:
            UnknownIdError: there is no such user.
        """
        if self.user_ids.ids.dtype.kind == "U":
            id: Any = str(typed)
        else:
            id = int(typed) if str(typed).strip().isdecimal() else typed
        self.user_ids.to_indices(id)
        return id

    @cached_property
    def seen(self) -> Seen:
        """What everybody has rated."""
        return Seen.of(self.dataset.users, self.dataset.items, len(self.user_ids))

    @cached_property
    def biases(self) -> Biases:
        """Of the training part."""
        return fit_biases(self.dataset, self.run.split.train)

    @cached_property
    def _prior(self) -> Prior:
        self._must_rate("somebody new is found by ratings")
        return Prior.of(self.network, self.run.trained_users, self.run.result["metrics"]["val/rmse"])

    def _fold_in_rows(self, given: Mapping[int, float]) -> NewUser:
        seen = np.fromiter(given, dtype=np.int64, count=len(given))
        values = np.fromiter(given.values(), dtype=np.float32, count=len(given))
        return NewUser(
            self.catalogue, self._prior.fit(torch.from_numpy(seen), torch.from_numpy(values)), seen
        )

    def _user_rows(self, users: Any, on_unknown: OnUnknown) -> NDArray[np.int32]:
        if on_unknown not in ("raise", "bias"):
            raise ValueError(f"on_unknown={on_unknown!r}: choose raise or bias")
        if on_unknown == "bias":
            self._must_rate("on_unknown='bias' answers with ratings")
        return self.user_ids.find(users) if on_unknown == "bias" else self.user_ids.to_indices(users)

    def _must_rate(self, why: str) -> None:
        if not self.network.rates:
            raise RunError(
                f"run={self.run.folder}: {why}, and this run's loss made scores that only order items; "
                "a run with loss=pointwise can do it"
            )

    def _neighbours(self, side: str, rows: NDArray, k: int, among: Tensor) -> tuple[NDArray, NDArray]:
        """Cosines (n, k), -inf where there are no more, and rows (n, k) of the nearest others `among` all."""
        vectors = self.network.vectors(side)
        if vectors is None:
            raise RunError(f"{type(self.network).__name__} has no {side} vectors to compare, only biases")
        unit = torch.nn.functional.normalize(vectors, dim=1)
        asked = torch.from_numpy(rows).long()
        cosines = unit[asked] @ unit.T
        cosines[:, ~among] = -torch.inf
        cosines[torch.arange(len(asked)), asked] = -torch.inf
        values, near = top_k(cosines, k)
        return values.numpy(), near.numpy()
