"""Principal components of item vectors, and what they go together with."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.feature_selection import f_regression, r_regression

NORMAL_95 = 1.959964  # half the width of a 95 % interval, in standard errors


@dataclass(frozen=True, eq=False)
class Components:
    """Where items lie along the directions in which their vectors differ most.

    Attributes:
        scores: one line per item, its index the item row; columns 1, 2, ... in order of variance.
        shares: (components,), of the variance of all dimensions.
        dim: how many dimensions the vectors have.
    """

    scores: pd.DataFrame
    shares: NDArray[np.float64]
    dim: int


def principal_components(vectors: NDArray, items: pd.DataFrame, components: int) -> Components:
    """PCA of the vectors of the given items.

    The sign of a component means nothing, so that it is chosen: higher mean ratings lie at its upper end.

    Args:
        vectors: (n_items, d), of every item row.
        items: from `most_rated`; its index names the rows, its column `mean` settles the signs.
        components: how many; no more than there are dimensions and items.
    """
    chosen = vectors[items.index]
    pca = PCA(min(components, *chosen.shape), svd_solver="full").fit(chosen)
    scores = pca.transform(chosen)
    mean = items["mean"].to_numpy()
    scores *= np.where((mean - mean.mean()) @ scores < 0, -1, 1)
    columns = range(1, scores.shape[1] + 1)
    return Components(
        pd.DataFrame(scores, items.index, columns), pca.explained_variance_ratio_, vectors.shape[1]
    )


def correlate(scores: pd.DataFrame, properties: pd.DataFrame, held: str = "mean rating") -> pd.DataFrame:
    """Pearson correlation of each component with each property, over the items where it is known.

    For a genre, 0 or 1, this is the point-biserial correlation. The interval is Fisher's: tanh(artanh r +-
    1.96 / sqrt(n - 3)). p is of the t-test of r = 0, held against all the tests of the table at once by
    Holm's procedure (1979): below 0.05 anywhere is then a finding, not one chance hit of many tries.

    Good items may be dramas, and a component of good items then goes with Drama too. So the partial
    correlation, at equal values of one property, stands beside: (r_xy - r_xz r_yz) / sqrt((1 - r_xz^2)
    (1 - r_yz^2)).

    Args:
        scores: a column per component, a line per item.
        properties: a column per property, a line per item; NaN where unknown.
        held: the property that the partial correlations hold equal.

    Returns:
        One line per pair, by component and then as the properties stand: component, property, items (how
        many), r, low and high (95 %), p, partial (NaN for `held` itself). Properties that do not vary, or are
        known of fewer than four items, are left out.
    """
    lines = []
    for name, values in properties.items():
        known = values.notna()
        x, y = scores[known].to_numpy(), values[known].to_numpy()
        if len(y) < 4 or np.ptp(y) == 0:
            continue
        r = r_regression(x, y)
        distance = NORMAL_95 / np.sqrt(len(y) - 3)
        fisher = np.arctanh(r.clip(-1 + 1e-15, 1 - 1e-15))
        columns = {"r": r, "low": np.tanh(fisher - distance), "high": np.tanh(fisher + distance)}
        columns["p"] = f_regression(x, y)[1]
        z = properties.loc[known, held].to_numpy()
        columns["partial"] = r if np.ptp(z) == 0 else np.nan if name == held else _partial(r, x, y, z)
        facts = {"component": scores.columns, "property": name, "items": len(y)}
        lines.append(pd.DataFrame(facts | columns))
    if not lines:
        return pd.DataFrame(columns=["component", "property", "items", "r", "low", "high", "p", "partial"])
    table = pd.concat(lines).sort_values("component", kind="stable", ignore_index=True)
    return table.assign(p=holm(table["p"].to_numpy()))


def _partial(r_xy: NDArray, x: NDArray, y: NDArray, z: NDArray) -> NDArray[np.float64]:
    r_xz, r_yz = r_regression(x, z), r_regression(y[:, None], z)[0]
    left = (1 - r_xz**2) * (1 - r_yz**2)
    return (r_xy - r_xz * r_yz) / np.sqrt(np.where(left > 1e-12, left, np.nan))


def holm(p: NDArray) -> NDArray[np.float64]:
    """p-values held against each other: the k-th smallest of m times m - k + 1, never falling, at most 1."""
    order = np.argsort(p)
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1)
    held = np.empty(len(p))
    held[order] = steps
    return held


def explained(scores: pd.DataFrame, properties: pd.DataFrame) -> NDArray[np.float64]:
    """How much of each component's variance all properties explain together: adjusted R^2, (components,).

    By least squares over the items of which everything is known.
    """
    known = properties.notna().all(axis=1)
    x, y = properties[known].to_numpy(), scores[known].to_numpy()
    design = np.column_stack([np.ones(len(x)), x])
    rank = np.linalg.matrix_rank(design)
    if len(y) <= rank + 1:
        return np.full(y.shape[1], np.nan)
    left = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
    unexplained = (left**2).sum(0) / (len(y) - rank) / y.var(0, ddof=1)
    return 1 - unexplained
