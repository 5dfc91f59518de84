"""Similar items and similar users, by the cosine of their vectors."""

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from recsys.errors import RunError
from recsys.inference.catalogue import Catalogue
from recsys.models.scorer import Side
from recsys.models.scoring import top_k
from recsys.runs.load import LoadedRun


def similar_items(
    run: LoadedRun,
    catalogue: Catalogue,
    indices: NDArray[np.int32],
    k: int,
    min_ratings: int,
    allowed: NDArray[np.bool_] | None = None,
) -> pd.DataFrame:
    """Return the table of `Recommender.similar_items` for item indices () or (n,); `allowed` (n_items,) limits it."""
    candidates = torch.from_numpy(catalogue.rating_counts >= min_ratings) & run.data.trained_items
    if allowed is not None:
        candidates &= torch.from_numpy(allowed)
    values, near = nearest(_vectors(run, "item"), np.atleast_1d(indices), k, candidates)
    found = np.isfinite(values)
    table = catalogue.table(near[found], values[found], "similarity")
    if indices.ndim:
        table.insert(0, "to", np.repeat(catalogue.ids.to_ids(indices), found.sum(1)))
    return table


def similar_users(run: LoadedRun, indices: NDArray[np.int32], k: int) -> pd.DataFrame:
    """Return the table of `Recommender.similar_users` for user indices () or (n,)."""
    ids = run.checkpoint.user_ids
    values, near = nearest(_vectors(run, "user"), np.atleast_1d(indices), k, run.data.trained_users)
    found = np.isfinite(values)
    counts = run.data.user_counts[near[found]]
    table = pd.DataFrame({"user": ids.to_ids(near[found]), "similarity": values[found]})
    table["ratings" if run.data.has_ratings else "interactions"] = counts
    if indices.ndim:
        table.insert(0, "to", np.repeat(ids.to_ids(indices), found.sum(1)))
    return table


def nearest(
    vectors: Tensor, queries: NDArray[np.int32], k: int, candidates: Tensor
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the nearest other rows of a table.

    Args:
        vectors: (n, d).
        queries: row indices (q,).
        k: number of neighbours; at most n are returned.
        candidates: bool (n,); which rows can be neighbours.

    Returns:
        Cosines in descending order and row indices, both (q, min(k, n)); the cosine is -inf where no candidates
        are left.
    """
    unit = functional.normalize(vectors, dim=1)
    rows = torch.from_numpy(queries).long().to(vectors.device)
    cosines = unit[rows] @ unit.T
    cosines[:, ~candidates.to(vectors.device)] = -torch.inf
    cosines[torch.arange(len(rows)), rows] = -torch.inf
    values, indices = top_k(cosines, k)
    return values.cpu().numpy(), indices.cpu().numpy()


def _vectors(run: LoadedRun, side: Side) -> Tensor:
    """Return the vectors of all users or items.

    Raises:
        RunError: the model has only biases.
    """
    vectors = run.checkpoint.scorer.vectors(side)
    if vectors is None:
        raise RunError(
            f"run={run.folder}: model={run.checkpoint.model['name']} has no {side} vectors to compare, only "
            "biases; use a run of another model"
        )
    return vectors
