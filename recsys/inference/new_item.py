"""NewItem: predicted ratings or scores of an item that the run was not trained on (cold start)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from recsys.data.ids import IdMap, in_shape_of
from recsys.errors import RunError
from recsys.inference.fold_in import Posterior, Prior
from recsys.models.scoring import predict_pairs


class NewItem:
    """An item described by ratings, or by genres and year; made by `Recommender.fold_in_item`.

    Args:
        user_ids: raw user ids.
        posterior: the estimate of the item's vector, as the only user of a `TransposedScorer`.
    """

    def __init__(self, user_ids: IdMap, posterior: Posterior) -> None:
        self.user_ids, self.posterior = user_ids, posterior
        self.scorer = posterior.scorer

    @classmethod
    def from_ratings(cls, ratings: Mapping[int, float], user_ids: IdMap, prior: Prior) -> "NewItem":
        """Fold an item in.

        Args:
            ratings: by index of the user.
            user_ids: raw user ids.
            prior: the distribution of the item's vector before the first rating.
        """
        users = torch.tensor(list(ratings), dtype=torch.long)
        return cls(
            user_ids, prior.posterior(users, torch.tensor(list(ratings.values()), dtype=torch.float32))
        )

    def predict(self, users: Any) -> Any:
        """Return predicted ratings of raw user ids, clipped to the scale: float32, in the shape of `users`.

        For a run that does not predict ratings, these are scores, as in the recommendations of each user.

        Raises:
            UnknownIdError: a user is unknown; lists the nearest known ones.
        """
        indices = self.user_ids.to_indices(users)
        ratings = predict_pairs(self.scorer, np.zeros(indices.size, np.int32), indices.ravel())
        return in_shape_of(indices, ratings)

    def uncertainty(self, users: Any) -> Any:
        """Return the standard deviations of `predict`, in rating points and in the shape of `users`.

        They come from the small number of ratings; the noise of single ratings is not included.

        Raises:
            RunError: the run does not predict ratings.
        """
        if not self.scorer.predicts_ratings:
            raise RunError("uncertainty: this run predicts scores, which have no known uncertainty")
        indices = self.user_ids.to_indices(users)
        index = torch.from_numpy(indices.ravel().astype(np.int64))
        deviations = self.posterior.deviations(index).cpu().numpy()
        return in_shape_of(indices, deviations)
