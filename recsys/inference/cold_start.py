"""New users and new items of a run: the priors of fold-in, computed when they are first needed."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import torch

from recsys.errors import DataError, RunError, first_line
from recsys.inference.catalogue import Catalogue
from recsys.inference.fold_in import Prior
from recsys.inference.fold_in_choices import ChoicePrior
from recsys.inference.item_priors import ItemPriors
from recsys.inference.new_item import NewItem
from recsys.inference.new_user import NewUser
from recsys.models.heads import relevance_threshold
from recsys.runs.load import LoadedRun


class ColdStart:
    """Makes users and items that a run was not trained on.

    Args:
        run: the run.
        catalogue: its items.
    """

    def __init__(self, run: LoadedRun, catalogue: Catalogue) -> None:
        self.run, self.catalogue, self.scorer = run, catalogue, run.checkpoint.scorer

    def new_user(self, ratings: Mapping[int, float]) -> NewUser:
        """Return a user described by ratings, by item index.

        Raises:
            RunError: the run's files do not allow fold-in.
        """
        with self._errors():
            row = None
            if self._choices is not None:
                row = self._choices.posterior_mode(torch.tensor(self._chosen(ratings), dtype=torch.long))
            prior = self._users if self.scorer.predicts_ratings else None
            return NewUser.from_ratings(ratings, self.catalogue, self.scorer, prior, row)

    def new_item(
        self,
        ratings: Mapping[int, float],
        genres: Sequence[str] | str | None = None,
        year: int | None = None,
        features: Mapping[str, Any] | None = None,
    ) -> NewItem:
        """Return an item described by ratings, by user index, and by its features, if they are known.

        Raises:
            DataError: the run's items have no such genre, or no years; a feature does not fit, or comes with genres.
            RunError: there are ratings, but the run only orders items; or its files do not allow fold-in.
        """
        with self._errors():
            if ratings and not self.scorer.predicts_ratings:
                raise RunError(
                    "predicts no ratings, so a new item cannot be described by ratings; describe it by features=, "
                    "genres= or year="
                )
            if features:
                if genres is not None or year is not None:
                    raise DataError("features: cannot be combined with genres= and year=; make them features")
                prior = self._items.with_columns(features)
            elif genres is None and year is None:
                prior = self._items.without_features
            else:
                known = [] if genres is None else self.catalogue.genres_named(genres)
                prior = self._items.with_features(known, year)
            return NewItem.from_ratings(ratings, self.run.checkpoint.user_ids, prior)

    @cached_property
    def _users(self) -> Prior:
        """The distribution of users' vectors, for a run that predicts ratings."""
        return Prior.of_run(self.run)

    @cached_property
    def _choices(self) -> ChoicePrior | None:
        """The distribution of users' vectors, for a run that predicts which items users choose."""
        return ChoicePrior.of_run(self.run)

    def _chosen(self, ratings: Mapping[int, float]) -> list[int]:
        """Return the items that count as chosen: all if the run predicts ratings, too, and otherwise the relevant."""
        if self.scorer.predicts_ratings:
            return list(ratings)
        _, threshold = self.run.checkpoint.ranking
        lowest = relevance_threshold(threshold, self.scorer.scale)
        return [item for item, rating in ratings.items() if rating >= lowest]

    @cached_property
    def _items(self) -> ItemPriors:
        """The distributions of items' vectors."""
        return ItemPriors(self.run)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Name the run in the errors of fold-in."""
        try:
            yield
        except RunError as error:
            raise RunError(f"run={self.run.folder}: {error}") from None
        except (ValueError, torch.linalg.LinAlgError) as error:  # absurd weights
            raise RunError(
                f"run={self.run.folder}: its weights do not allow fold-in ({first_line(error):.200})"
            ) from None
